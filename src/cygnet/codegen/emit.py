"""Bytes: two-address form, moves between blocks, jump offsets, relocations and line information."""

from __future__ import annotations

import struct
from itertools import pairwise

from cygnet.codegen import opcodes as op
from cygnet.codegen.machine import ALU, CALL, DEF, EXIT, FETCH, LOAD, MOV, SETCC, STORE, MFunction
from cygnet.isa.consts import LD_IMM64
from cygnet.spec.objects import FuncInfo, LineInfo
from cygnet.spec.relocs import Reloc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cygnet.codegen.machine import MBlock

# A word is one instruction slot: code | dst << 8 | src << 12 | off << 16 | imm << 32
_IMM = 0xFFFFFFFF
_OFF = 0xFFFF
_X = op.X
#: instructions that are worth repeating to save a jump
_COPIED = 3


class Stream:
    """The instruction slots of a module, in order, and what belongs to them."""

    __slots__ = ("calls", "functions", "lines", "relocs", "starts", "words")

    def __init__(self) -> None:
        self.words: list[int] = []
        self.relocs: list[tuple[int, Any]] = []
        self.lines: list[tuple[int, Any]] = []  # (slot, span), where it changes
        self.calls: list[tuple[int, str]] = []  # (slot, function it refers to)
        self.starts: dict[str, int] = {}
        self.functions: list[FuncInfo] = []

    def add(self, function: MFunction, place: list[int]) -> None:
        """Append a function whose registers have their places."""
        start = self.starts[function.name] = len(self.words)
        self.functions.append(FuncInfo(start, function.name, function.kind))
        if function.span is not None:
            self.lines.append((start, function.span))
        pieces = [Piece(block, place, function.blocks) for block in function.blocks]
        _join(self, pieces)

    def finish(self) -> bytes:
        """Fill in what refers to functions; the bytes."""
        words = self.words
        for slot, name in self.calls:
            words[slot] |= (self.starts[name] - slot - 1 & _IMM) << 32
        return struct.pack(f"<{len(words)}Q", *words)

    def relocations(self) -> tuple[Reloc, ...]:
        return tuple(
            [Reloc(slot, t.kind, t.name, t.where, t.data) for slot, t in sorted(self.relocs, key=lambda r: r[0])]
        )

    def line_info(self) -> tuple[LineInfo, ...]:
        """A row where the span changes, and one at the start of each function, as the kernel wants."""
        if not self.lines:
            return ()
        rows: list[LineInfo] = []
        seen: dict[tuple[int, int], tuple[Any, ...]] = {}
        starts = set(self.starts.values())
        marks = dict(self.lines)  # the last one of a slot holds
        for start in starts - marks.keys():
            marks[start] = _span_near(self.lines, start)
        last = None
        for slot in sorted(marks):
            span = marks[slot]
            if span == last and slot not in starts:
                continue
            last = span
            key = span[1:]
            row = seen.get(key)
            if row is None:
                source, begin, end = span
                line, col = source.line_col(begin)
                row = seen[key] = (line, col, source.line_text(line), begin, end)
            rows.append(LineInfo(slot, *row))
        return tuple(rows)


def _span_near(lines: list[tuple[int, Any]], slot: int) -> Any:
    """The first span after `slot`, else the last one."""
    return next((span for at, span in lines if at >= slot), lines[-1][1])


class Piece:
    """The words of one block, without its last jump."""

    __slots__ = ("block", "lines", "refs", "words")

    def __init__(self, block: MBlock, place: list[int], blocks: list[MBlock]) -> None:
        self.block = block
        self.words: list[int] = []
        self.lines: list[tuple[int, Any]] = []
        self.refs: list[tuple[int, Any]] = []
        self._fill(block, place)
        if block.args:
            assert block.term is not None
            self._moves(block, blocks[block.term[4]], place)
        term = block.term
        if term is not None and term[0]:
            term[1] = place[term[1]] if term[1] >= 0 else 0
            term[2] = place[term[2]] if term[2] >= 0 else 0

    def _fill(self, block: MBlock, place: list[int]) -> None:
        words, commutes, mov = self.words, op.COMMUTES, op.MOV_X
        append = words.append
        last = None
        for kind, code, dst, a, b, off, imm, extra, span, _ in block.insns:
            if span is not last and span is not None:
                last = span
                self.lines.append((len(words), span))
            if kind == LOAD:
                if extra is not None:
                    self.refs.append((len(words), extra))
                append(code | place[dst] << 8 | place[a] << 12 | (off & _OFF) << 16 | (imm & _IMM) << 32)
            elif kind == MOV:
                rd, ra = place[dst], place[a]
                if rd != ra:
                    append(mov | rd << 8 | ra << 12)
            elif kind == ALU:
                rd, ra = place[dst], place[a]
                if b < 0:
                    if rd != ra:
                        append(mov | rd << 8 | ra << 12)
                    append(code | rd << 8 | (off & _OFF) << 16 | (imm & _IMM) << 32)
                    continue
                rb = place[b]
                if rd == rb and rd != ra:
                    assert code in commutes
                    rb = ra
                elif rd != ra:
                    append(mov | rd << 8 | ra << 12)
                append(code | rd << 8 | rb << 12 | (off & _OFF) << 16)
            elif kind == STORE:
                if b < 0:
                    append(code | place[a] << 8 | (off & _OFF) << 16 | (imm & _IMM) << 32)
                else:
                    append(code | place[a] << 8 | place[b] << 12 | (off & _OFF) << 16 | (imm & _IMM) << 32)
            elif kind == DEF:
                if extra is not None:
                    self.refs.append((len(words), extra))
                append(code | place[dst] << 8 | off << 12 | (imm & _IMM) << 32)
                if code == LD_IMM64:
                    append((imm >> 32 & _IMM) << 32)
            elif kind == CALL:
                if extra is not None:
                    self.refs.append((len(words), extra))
                    imm = 0 if extra.__class__ is str else imm
                append(code | off << 12 | (imm & _IMM) << 32)
            elif kind == SETCC:
                rd = place[dst]
                rb = place[b] if b >= 0 else 0
                append(op.MOV_K | rd << 8 | 1 << 32)
                append(code | place[a] << 8 | rb << 12 | 1 << 16 | (imm & _IMM) << 32)
                append(op.MOV_K | rd << 8)
            elif kind == FETCH:
                rd, rb = place[dst], place[b]
                if rd != rb:
                    append(mov | rd << 8 | rb << 12)
                append(code | place[a] << 8 | rd << 12 | (off & _OFF) << 16 | (imm & _IMM) << 32)
            else:
                assert kind == EXIT
                append(code)

    def _moves(self, block: MBlock, target: MBlock, place: list[int]) -> None:
        """All parameters of `target` at once: registers first, then loads and numbers."""
        moves: dict[int, int] = {}
        late = []
        used = target.used_params
        for arg, param in zip(block.args, target.params):
            if param not in used:
                continue
            dst = place[param]
            if arg.__class__ is not int:
                late.append((dst, arg))
            elif place[arg] != dst:
                moves[dst] = place[arg]
        if moves:
            busy = {place[reg] for reg in target.live_in} | {place[param] for param in used}
            self._parallel(moves, busy)
        for dst, (how, number) in late:
            if how == "mem":
                self.words.append(op.LOAD[8] | dst << 8 | 10 << 12 | (number & _OFF) << 16)
            else:
                code = op.MOV_K if number <= 0x7FFFFFFF else op.MOV32_K
                self.words.append(code | dst << 8 | (number & _IMM) << 32)

    def _parallel(self, moves: dict[int, int], busy: set[int]) -> None:
        """`moves` is destination → source; no two share a destination."""
        append, mov = self.words.append, op.MOV_X
        while moves:
            sources = set(moves.values())
            ready = [dst for dst in moves if dst not in sources]
            for dst in ready:
                append(mov | dst << 8 | moves.pop(dst) << 12)
            if ready:
                continue
            dst, source = next(iter(moves.items()))  # a cycle: free one register
            spare = next((reg for reg in range(10) if reg not in busy and reg not in sources), None)
            if spare is None:
                self._exchange(dst, source)
                moves.pop(dst)
                moves.update({d: (source if s == dst else s) for d, s in moves.items()})
                moves = {d: s for d, s in moves.items() if d != s}
                continue
            append(mov | spare << 8 | dst << 12)
            busy.add(spare)
            moves.update({d: spare for d, s in moves.items() if s == dst})

    def _exchange(self, a: int, b: int) -> None:
        """Swap two numbers when all ten registers are taken."""
        xor = op.ALU["xor"] | _X
        for dst, src in ((a, b), (b, a), (a, b)):
            self.words.append(xor | dst << 8 | src << 12)


def _join(stream: Stream, pieces: list[Piece]) -> None:
    """Place the blocks one after another, without those that are only a jump."""
    resolve = _threads(pieces)
    kept = [at for at, piece in enumerate(pieces) if at == 0 or resolve[at] == at]
    following = dict(pairwise(kept))
    long = sum([len(piece.words) + 3 + _COPIED for piece in pieces]) > 0x7FFF
    words = stream.words
    starts: dict[int, int] = {}
    jumps: list[tuple[int, int]] = []
    for at in kept:
        piece = pieces[at]
        starts[at] = len(words)
        _append(stream, piece)
        term = piece.block.term
        copied = _worth_copying(piece, pieces, resolve, following.get(at, -1))
        if copied is not None:
            _append(stream, copied)
            term = copied.block.term
        if term is not None:
            if term[6] is not None:
                stream.lines.append((len(words), term[6]))
            _jump(stream, term, resolve, following.get(at, -1), jumps, long)
    for slot, target in jumps:
        distance = starts[target] - slot - 1
        if words[slot] & 0xFF == op.GOTO_LONG:
            words[slot] |= (distance & _IMM) << 32
        else:
            words[slot] |= (distance & _OFF) << 16


def _append(stream: Stream, piece: Piece) -> None:
    base = len(stream.words)
    stream.words += piece.words
    stream.lines += [(base + slot, span) for slot, span in piece.lines]
    for slot, extra in piece.refs:
        if extra.__class__ is str:
            stream.calls.append((base + slot, extra))
        else:
            stream.relocs.append((base + slot, extra))


def _worth_copying(piece: Piece, pieces: list[Piece], resolve: list[int], following: int) -> Piece | None:
    """The block that `piece` jumps to, when repeating it is better than the jump: a short way out of the
    program, or the test at the head of a loop, which then ends in one conditional jump."""
    term = piece.block.term
    if term is None or term[0]:
        return None
    at = resolve[term[4]]
    target = pieces[at]
    if at == following or len(target.words) > _COPIED or target.refs:
        return None
    end = target.block.term
    tests = end is not None and end[0] not in (0, op.MAY_GOTO)
    return target if end is None or (tests and at <= piece.block.index) else None


def _threads(pieces: list[Piece]) -> list[int]:
    """Where a jump to each block really leads."""
    resolve = []
    for at, piece in enumerate(pieces):
        seen = {at}
        while not piece.words and piece.block.term is not None and piece.block.term[0] == 0:
            at = piece.block.term[4]
            if at in seen:
                break
            seen.add(at)
            piece = pieces[at]
        resolve.append(at)
    return resolve


def _jump(
    stream: Stream, term: list[Any], resolve: list[int], following: int, jumps: list[tuple[int, int]], long: bool
) -> None:
    words = stream.words
    code, a, b, imm, then, other, _, _, template = term
    then = resolve[then]
    goto = op.GOTO_LONG if long else op.GOTO
    if code:
        other = resolve[other]
        if template is not None:
            stream.relocs.append((len(words), template))
            then, other = other, then  # the target of may_goto is the way out
        elif then == following and code in op.INVERSE:
            code, then, other = op.INVERSE[code], other, then
        word = code | a << 8 | b << 12 | (imm & _IMM) << 32
        if long:
            words.append(word | 1 << 16)
            jumps.append((len(words), other))
            words.append(goto)
        elif then != other or template is not None:
            jumps.append((len(words), then))
            words.append(word)
            then = other
        if not long:
            then = other
    if then != following:
        jumps.append((len(words), then))
        words.append(goto)
