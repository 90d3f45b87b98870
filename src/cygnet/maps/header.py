"""What a map looks like to machine code: the words of its header, by offset.

A program's pointer to a map is the address of this header. It is no region, so no program can read it;
helpers that are machine code (``vm/helpers/*.s``) can. Every word is 8 bytes unless said otherwise.

::

    0   u32 type · 4 u32 flags · 8 u32 key_size · 12 u32 value_size · 16 u32 max_entries · 20 u32 id
    24  address of the u64 that holds the number of the running CPU
    32  … 63 are the engine's own
    64… what the kind of map needs, below

An array: element i of CPU c lies at DATA + i * STRIDE + c * CPU_STRIDE.

A hash: BUCKETS is a table of 2**(64 - SHIFT) words, each the address of the first entry of a chain, or 0.
An entry is {next, key padded to 8 bytes, value}; of a per-CPU map the last is the address of the values, those
of CPU c at c * CPU_STRIDE. `next` of an entry in use is an address or 0; bit 0 is set in one that is not in use.
An LRU map's entry has one word more, before it: 1 when a program used the entry lately, and its CPUs may
have a share of the entries each: the words from FREE to HAND are those of CPU c at SHARES + c * SHARE_STRIDE
(with one share for all, SHARES is the header itself, SHARE_STRIDE 0). The hash of a key, whose last word
is padded with zeros::

    h = 0
    for word in key: h = (h ^ word) * MULTIPLIER mod 2**64; h ^= h >> 32
    bucket = h >> SHIFT

Entries are STRIDE apart, from FIRST on; those from FRESH to END were never used; FREE is the first of a chain
of used and deleted ones (their `next` has bit 0 set; 1 ends it); SPARE takes the next value that replaces one,
because a replaced value of a kernel's map stays readable for whoever holds a pointer to it.

A ring buffer: RING is the address of its control page: CONSUMER, PRODUCER, PENDING are offsets in it, MASK is the
size of the data less one, WAKEUPS counts how often a reader would have been woken. The data begins one page
later and is allocated twice over, so that a record is never cut: one that begins near the end goes on behind it.
"""

from __future__ import annotations

SIZE = 256

TYPE, FLAGS, KEY_SIZE, VALUE_SIZE, MAX_ENTRIES, ID = 0, 4, 8, 12, 16, 20
CPU = 24

DATA, STRIDE, CPU_STRIDE = 64, 72, 80

BUCKETS, SHIFT = 64, 88
FREE, FRESH, END, FIRST, HAND = 96, 104, 112, 120, 128  # HAND: of an LRU map, the entry that is next asked to go
SPARE, COUNT = 136, 144
VALUE_AT = 152  # offset of the value in an entry
SHARES, SHARE_STRIDE = 160, 168
VALUES, PERCPU_BYTES = 176, 184  # of a per-CPU map: the values of the entry at FIRST, and of how many bytes they are

RING = 64
CONSUMER, PRODUCER, PENDING, MASK, WAKEUPS = 0, 8, 16, 24, 32

MULTIPLIER = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio
