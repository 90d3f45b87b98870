"""Which stack slots may still be read: learnt from the accesses seen so far, by function and calling chain.

A state whose paths are all at their end has seen every access that can follow it, so slots that nobody reads any more
need not be compared. Each activation (the calls that lead to it) keeps, for each instruction and frame, the slots it
may read and the slots it always writes; live slots follow backwards from there. Kernel: kernel/bpf/liveness.c.
"""

from __future__ import annotations

from cygnet.verifier import cfg
from cygnet.verifier.bits import shl
from cygnet.verifier.equal import frame_insn
from cygnet.verifier.state import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mypy_extensions import i64

    from cygnet.verifier.env import Env


class Masks:
    """Of one frame, as seen from one activation: bit sets of slots, by instruction of its function."""

    __slots__ = ("live", "reads", "seen", "sure", "writes")

    def __init__(self, count: i64) -> None:
        self.reads: list[i64] = [0] * count
        self.writes: list[i64] = [0] * count
        self.seen: list[bool] = [False] * count
        self.live: list[i64] = [0] * count
        self.sure: list[i64] = [0] * count  # written on every way from here to the function's end


class Activation:
    """A function as it was called through a chain of calls."""

    __slots__ = ("chain", "changed", "frames", "sub")

    def __init__(self, chain: tuple[int, ...], sub: i64) -> None:
        self.chain = chain
        self.sub: i64 = sub
        self.frames: dict[int, Masks] = {}
        self.changed = False


class StackLive:
    def __init__(self, env: Env) -> None:
        self.env = env
        self.known: dict[tuple[int, ...], Activation] = {}
        self.current: Activation | None = None
        self.current_state: State | None = None
        self.depth: i64 = 0
        self.written: list[i64] = [0] * 9
        self.wrote = False

    # -- seeing accesses

    def begin(self, state: State) -> None:
        """A new instruction of a path."""
        depth: i64 = len(state.frames)
        if state is not self.current_state or depth != self.depth:
            self.current_state = state
            self.depth = depth
            self.current = self.activation(state, depth)
        if self.wrote:
            self.wrote = False
            at: i64 = 0
            while at < 9:
                self.written[at] = 0
                at += 1

    def activation(self, state: State, depth: i64) -> Activation:
        chain: list[int] = []
        at: i64 = 1
        while at < depth:
            chain.append(state.frames[at].callsite)
            at += 1
        sub = state.frames[depth - 1].subprog
        chain.append(-1 - sub)
        key = tuple(chain)
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = Activation(key, sub)
        return found

    def masks(self, activation: Activation, frame: i64) -> Masks:
        found = activation.frames.get(frame)
        if found is None:
            sub = self.env.subs[activation.sub]
            found = activation.frames[frame] = Masks(sub.end - sub.start)
        return found

    def read(self, frame: i64, spi: i64) -> None:
        activation = self.current
        if activation is not None:
            self._read(activation, frame, self.env.insn, shl(1, spi))

    def _read(self, activation: Activation, frame: i64, insn: i64, mask: i64) -> None:
        masks = self.masks(activation, frame)
        at = insn - self.env.subs[activation.sub].start
        if mask & ~masks.reads[at]:
            masks.reads[at] |= mask
            activation.changed = True

    def write(self, frame: i64, spi: i64) -> None:
        self.written[frame] |= shl(1, spi)
        self.wrote = True

    def end(self, insn: i64) -> None:
        """The instruction is done: what it wrote this time."""
        activation = self.current
        if activation is None:
            return
        frame: i64 = self.depth - 1
        while frame >= 0:
            mask = self.written[frame]
            if mask or frame in activation.frames:
                self._write(activation, frame, insn, mask)
            frame -= 1

    def _write(self, activation: Activation, frame: i64, insn: i64, mask: i64) -> None:
        masks = self.masks(activation, frame)
        at = insn - self.env.subs[activation.sub].start
        if masks.seen[at]:
            mask &= masks.writes[at]
        masks.seen[at] = True
        if mask != masks.writes[at]:
            masks.writes[at] = mask
            activation.changed = True

    # -- asking

    def alive(self, state: State, frame: i64) -> i64:
        """The slots of a frame that may be read after the state."""
        self._settle()
        depth: i64 = len(state.frames)
        out: i64 = 0
        number = frame
        while number < depth:
            activation = self.activation(state, number + 1)
            masks = activation.frames.get(frame)
            if masks is not None:
                at = frame_insn(state, number)
                if number < depth - 1 and not self.env.insns[at].calls_callback:
                    at += 1
                at -= self.env.subs[activation.sub].start
                if 0 <= at < len(masks.live):
                    out |= masks.live[at]
            number += 1
        return out

    def _settle(self) -> None:
        """Work out what is live, inner activations first, whose reads are their calls' reads."""
        again = True
        while again:
            again = False
            for activation in sorted(self.known.values(), key=_deepest_first):
                if activation.changed:
                    activation.changed = False
                    self._update(activation)
                    again = True

    def _update(self, activation: Activation) -> None:
        sub = self.env.subs[activation.sub]
        for number, masks in activation.frames.items():
            self._flow(masks, sub.start)
            if number < len(activation.chain) - 1:
                self._hand_out(activation, number, masks)

    def _flow(self, masks: Masks, start: i64) -> None:
        env = self.env
        count: i64 = len(masks.live)
        changed = True
        while changed:
            changed = False
            at = count - 1
            while at >= 0:
                if env.insns[start + at].code:
                    first, second = cfg.successors(env, start + at)
                    live: i64 = 0
                    sure: i64 = -1
                    if start <= first < start + count:
                        live = masks.live[first - start]
                        sure = masks.sure[first - start]
                    if start <= second < start + count:
                        live |= masks.live[second - start]
                        sure &= masks.sure[second - start]
                    if first < 0:
                        sure = 0
                    live = (live & ~masks.writes[at]) | masks.reads[at]
                    sure |= masks.writes[at]
                    if live != masks.live[at] or sure != masks.sure[at]:
                        masks.live[at] = live
                        masks.sure[at] = sure
                        changed = True
                at -= 1

    def _hand_out(self, activation: Activation, frame: i64, masks: Masks) -> None:
        """What the function does with its callers' slots is done by the call."""
        callsite = activation.chain[-2]
        outer_sub = self.env.sub_of(callsite)
        key = (*activation.chain[:-2], -1 - outer_sub)
        outer = self.known.get(key)
        if outer is None:
            return
        self._read(outer, frame, callsite, masks.live[0])
        self._write(outer, frame, callsite, masks.sure[0])


def _deepest_first(activation: Activation) -> int:
    return -len(activation.chain)
