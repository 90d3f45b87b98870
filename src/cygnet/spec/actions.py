"""The action table: what user space does with an event, as data that needs no compiler."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple

    from cygnet.spec.values import VType
else:
    from cygnet.named import NamedTuple


class Action(NamedTuple):
    """One kind of event in the ring.

    A record is a u64 action number, then the fields at their offsets from the record's start; all
    records of one program may be padded to one `size` (bytes, a multiple of 8).

    kind            text                data
    printf          format              –
    print_value     –                   –               one field: the value, then a newline
    print_map       map view            (top, div)      0 when not given
    clear, zero     map view            –
    exit            –                   –               one field: int, the status
    time            strftime format     –
    cat, system     format              –
    join            separator           (slots, bytes)  fields: an array of strings, empty ones end it
    errorf, warnf   format              –               prefix from `where`
    runtime_error   message             –
    helper_error    helper              –               one field: int, the return code
    unwatch         –                   –               one field: the address
    watch           –                   (program, length, mode, whether the process waits, probe)
                                                        fields: u64 address, pid
    unwind          –                   –               fields: u64 number, pid, where the copy of the stack begins,
                                                        its bytes; then struct pt_regs, and the copy
    skboutput       path                most bytes      no fields: u64 time, length, captured; the packet

    `where` is (name, line, column, end column) in the source, `source_line` the text of that line; `expansions` are
    pairs of the same, for the macro calls that brought it there, from the inside out.
    `pending`: its number among the actions of control (spec.objects.Control), or -1. `json` names the JSON type.
    """

    kind: str
    size: int
    fields: tuple[tuple[int, VType], ...] = ()
    text: str = ""
    data: Any = None
    where: tuple[str, int, int, int] = ("", 0, 0, 0)
    source_line: str = ""
    pending: int = -1
    expansions: tuple[tuple[tuple[str, int, int, int], str], ...] = ()
