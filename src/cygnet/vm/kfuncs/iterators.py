"""Open-coded iterators: numbers and bits. They lie on the program's stack as in the kernel."""

from __future__ import annotations

from errno import E2BIG, EFAULT, EINVAL
from struct import Struct

from cygnet.maps.memory import SPACE
from cygnet.vm.helpers.common import MASK32, s32
from cygnet.vm.kfuncs.registry import kfunc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cygnet.vm.host import Host

_MAX_LOOPS = 8 * 1024 * 1024  # BPF_MAX_LOOPS
_MOST_WORDS = 511  # BITS_ITER_NR_WORDS_MAX
_NUM = Struct("=ii")  # struct bpf_iter_num_kern: the number that was given last, the end
_BITS = Struct("=QIi")  # struct bpf_iter_bits_kern: the bits of one word, how many bits, the bit that was given last
_BIT_AT = 12


@kfunc("iter_num_new")
def iter_num_new(machine: Host, it: int, start: int, end: int) -> int:
    machine.check(it, _NUM.size, write=True, what="iterator")
    first, last = s32(start), s32(end)
    _NUM.pack_into(SPACE, it, 0, 0)
    if first > last:
        return -EINVAL & MASK32
    if last - first > _MAX_LOOPS:
        return -E2BIG & MASK32
    _NUM.pack_into(SPACE, it, s32(first - 1), last)  # the next one is current + 1
    return 0


@kfunc("iter_num_next")
def iter_num_next(machine: Host, it: int) -> int:
    """The address of the next number; 0 at the end."""
    machine.check(it, _NUM.size, write=True, what="iterator")
    current, end = _NUM.unpack_from(SPACE, it)
    following = s32(current + 1)
    if following >= end:
        _NUM.pack_into(SPACE, it, 0, 0)
        return 0
    _NUM.pack_into(SPACE, it, following, end)
    return it


@kfunc("iter_num_destroy")
def iter_num_destroy(machine: Host, it: int) -> int:
    machine.check(it, _NUM.size, write=True, what="iterator")
    _NUM.pack_into(SPACE, it, 0, 0)
    return 0


@kfunc("iter_bits_new")
def iter_bits_new(machine: Host, it: int, source: int, words: int) -> int:
    """The bits that are set in words of 64 bits, which are copied."""
    machine.check(it, _BITS.size, write=True, what="iterator")
    words &= MASK32
    _BITS.pack_into(SPACE, it, 0, 0, -1)
    machine.kfuncs.bits.pop(it, None)
    if not source or not words:
        return -EINVAL & MASK32
    if words > _MOST_WORDS:
        return -E2BIG & MASK32
    data = machine.world.peek(machine.regions, source, 8 * words, "kernel")
    if data is None:
        return -EFAULT & MASK32
    machine.kfuncs.bits[it] = int.from_bytes(data, "little")
    _BITS.pack_into(SPACE, it, int.from_bytes(data[:8], "little") if words == 1 else 0, 64 * words, -1)
    return 0


@kfunc("iter_bits_next")
def iter_bits_next(machine: Host, it: int) -> int:
    """The address of the next bit's number; 0 at the end."""
    machine.check(it, _BITS.size, write=True, what="iterator")
    word, count, last = _BITS.unpack_from(SPACE, it)
    rest = machine.kfuncs.bits.get(it, 0) >> last + 1 if 0 <= last + 1 < count else 0
    if not rest:
        _BITS.pack_into(SPACE, it, word, count, count if count < 1 << 31 else -1)
        return 0
    _BITS.pack_into(SPACE, it, word, count, last + (rest & -rest).bit_length())
    return it + _BIT_AT


@kfunc("iter_bits_destroy")
def iter_bits_destroy(machine: Host, it: int) -> int:
    machine.kfuncs.bits.pop(it, None)
    return 0
