"""Machine code: programs translated into executable memory, with checks or, for a verified program, without.

::

    program ── compile ──▶ blocks ── layout ──▶ bytes ── memory ──▶ executable, called by engine
                 │ emitters: first two bytes of an instruction → its code, from x86_64's column of the opcode table
                 │ peephole: neighbours that one machine instruction does
                 └ checks: which accesses need a check, and its code
    routines: ways in and out, the search for a region, calls to Python; state: what all of it keeps in memory
    natives: helpers that are BPF assembly, through the same compiler

`encoding`, `x86_64`, `routines` and `layout` are x86-64's; so are, in `compile` and `checks`, the few sequences for
frames, budget and comparisons. Another processor brings its own of these; the rest is the same for all.
"""
