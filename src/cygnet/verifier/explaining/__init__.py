"""The explainer: from what a verifier said, ours or a kernel's, to what a person can do about it.

Both say it in the same format, the kernel's log, so there is one way through this room::

    logtext    the log, freed from what libbpf, bpftool, BCC or a journal wrapped around it
    trail      its lines: the instructions of the refused path, the state after each, the reason
    kinds      which mistake the reason speaks of
    origins    where a register got its value, who tested it, what released it
    case       what all that is about: names for registers, lines, types
    memory, values, calls, limits    one explanation for each kind of mistake
    story      puts it together; text and document write it down

Nothing here is imported before a program was refused.
"""
