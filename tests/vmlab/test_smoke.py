"""The lab itself: what it promises its tests."""

from __future__ import annotations

import os
from pathlib import Path

from cygnet.kernel.features import has

FEATURES = ("kprobe", "kprobe_multi", "uprobe", "uprobe_multi", "btf", "ringbuf", "raw_tracepoint", "may_goto")


def test_another_kernel_with_the_features_it_is_for() -> None:
    assert os.uname().release == os.environ["VMLAB_KERNEL"]
    assert [name for name in FEATURES if not has(name)] == []


def test_a_scratch_disk() -> None:
    scratch = Path(os.environ["VMLAB_SCRATCH"])
    assert os.path.ismount(scratch) and Path(os.environ["VMLAB_DISK"]).is_block_device()
    (scratch / "file").write_bytes(b"x" * 4096)
    assert (scratch / "file").stat().st_size == 4096
