"""Every row of the table of map types has a class that makes a map, or says that it needs a kernel."""

import pytest

from cygnet.errors import NotSupported
from cygnet.facts.maptypes import map_types
from cygnet.maps.base import UserMap
from cygnet.maps.making import create, implementation

NEEDS_A_KERNEL = {"cgroup_array", "reuseport_sockarray", "struct_ops", "arena"}


def test_rows_and_classes_agree(host) -> None:
    seen: set[type] = set()
    for row in map_types():
        assert row.vm, row
        if row.name in NEEDS_A_KERNEL:
            assert row.vm == "kernel_only"
            with pytest.raises(NotSupported):
                create(host, row.id, 4, 4, 4)
            continue
        made = implementation(row.id)
        assert issubclass(made, UserMap) and made not in seen, row
        assert made is implementation(row.name)
        assert row.percpu == made.PERCPU, row
        seen.add(made)


def test_a_number_that_is_no_type(host) -> None:
    with pytest.raises(NotSupported):
        create(host, 200, 4, 4, 4)
