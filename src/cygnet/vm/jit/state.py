"""What machine code keeps in memory while it runs: one block a host, which r9 points into.

Slots are pieces of memory that were found allowed: {start, then for accesses of 1, 2, 4 and 8 bytes one more
than the last offset from start that is allowed}. Even ones are for reading, odd ones for writing. The first
slots, and what is used most, lie within reach of an 8-bit displacement.
"""

from __future__ import annotations

BIAS = 128  # r9 points this far into the block
SLOT_BYTES = 40
SLOTS = 24
LIMIT_OF = {1: 8, 2: 16, 4: 24, 8: 32}  # offset of the limit in a slot, by size of the access

_NAMES = (
    "check", "fault", "py_call", "py_tail", "rounds", "packet", "packet_bytes", "stack_limit",
    "pending", "cur_fp", "budget", "saved_rsp", "result", "stack_start", "stack_top", "regions",
    "generation", "site", "budget_start", "address", "access", "rest", "dispatch", "tail",
    "tail_calls", "check_wide", "wide_used", "context", "length", "ready",
    "reg0", "reg1", "reg2", "reg3", "reg4", "reg5", "reg6", "reg7", "reg8", "reg9", "reg10",
)  # fmt: skip
# -128 … -1: three slots; 0 … 127: names; then the rest of the slots
_NEAR_SLOTS = 3
OFFSETS = {name: -BIAS + _NEAR_SLOTS * SLOT_BYTES + 8 + 8 * index for index, name in enumerate(_NAMES)}
_FAR = max(OFFSETS.values()) + 8
# then slots for several accesses at once: {start, limit}; each is for one number of bytes
WIDE_SLOTS = 1024
_WIDE = _FAR + SLOTS * SLOT_BYTES
STATE_BYTES = BIAS + _WIDE + WIDE_SLOTS * 16


def slot_offset(index: int) -> int:
    """The displacement of a slot from r9."""
    if index < _NEAR_SLOTS:
        return -BIAS + index * SLOT_BYTES
    return _FAR + (index - _NEAR_SLOTS) * SLOT_BYTES


def wide_slot_offset(index: int) -> int:
    return _WIDE + index * 16


# fault codes
MEMORY, BUDGET, DEPTH, HELPER, ALIGNMENT, NO_FUNCTION, NO_HELPER = 1, 2, 3, 4, 5, 6, 7
