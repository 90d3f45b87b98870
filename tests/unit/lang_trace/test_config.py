"""Settings from the environment: their ranges, and what a wrong one says."""

from __future__ import annotations

import pytest

from cygnet.errors import UsageError
from cygnet.lang.trace.config import SETTINGS, Config


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("max_map_keys", ("1", "0x100000"), ("0", "-1", "1073741825", "99999999999", "many", "")),
        ("max_strlen", ("1", "1048576"), ("0", "1048577")),
        ("perf_rb_pages", ("0", "64"), ("262145", "-2")),
        ("max_probes", ("1",), ("0",)),
        ("max_bpf_progs", ("1",), ("0",)),
        ("max_cat_bytes", ("0", "2147483648"), ("-1", "2147483649")),
        ("log_size", ("0", "1000"), ("2147483648",)),
        ("missing_probes", ("WARN",), ("maybe",)),
        ("cpp_demangle", ("off", "1"), ("2",)),
        ("cache_user_symbols", ("per_pid", "0", "1"), ("2", "PER_THREAD")),
    ],
)
def test_ranges(name: str, good: tuple[str, ...], bad: tuple[str, ...]) -> None:
    for prefix in ("BPFTRACE_", "CYGNET_"):
        for text in good:
            Config().read_environment({prefix + name.upper(): text})
        for text in bad:
            with pytest.raises(UsageError, match=f"^{prefix}{name.upper()}: {name} ") as caught:
                Config().read_environment({prefix + name.upper(): text})
            assert caught.value.exit_status == 2


def test_defaults_are_within_their_ranges() -> None:
    for name, (default, kind) in SETTINGS.items():
        text = str(default).lower() if kind is bool else str(default)
        config = Config()
        config.read_environment({"BPFTRACE_" + name.upper(): text})
        assert config[name] == default
