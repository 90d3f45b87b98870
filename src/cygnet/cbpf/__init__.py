"""Classic BPF: encode, decode, list, assemble, validate, run, and translate to eBPF.

A program is a list of `Insn(code, jt, jf, k)`. The machine has an accumulator A, an index register X,
sixteen words of memory M and a packet that it only reads (McCanne and Jacobson, "The BSD Packet Filter",
1993; Documentation/networking/filter.rst).
"""

from __future__ import annotations

from cygnet.cbpf.insn import Insn, decode, encode
from cygnet.cbpf.interp import Fault, run
from cygnet.cbpf.listing import listing, listing_c, listing_decimal
from cygnet.cbpf.text import assemble, read_decimal
from cygnet.cbpf.translate import to_ebpf
from cygnet.cbpf.validate import validate

__all__ = [
    "Fault", "Insn", "assemble", "decode", "encode", "listing", "listing_c", "listing_decimal", "read_decimal", "run",
    "to_ebpf", "validate",
]  # fmt: skip
