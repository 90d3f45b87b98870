"""Calls of helpers: who may call, what the arguments must be, and what the call leaves behind. Kernel: check_helper_call."""

from __future__ import annotations

from cygnet.verifier import args, maprules, memory, precision, references
from cygnet.verifier import reg as r
from cygnet.verifier.bits import S32_MAX, S64_MAX
from cygnet.verifier.env import EACCES, EINVAL, Env, Ins
from cygnet.verifier.reg import MAYBE_NULL, NONE, RegState, unknown
from cygnet.verifier.regtext import type_text
from cygnet.verifier.state import Reject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mypy_extensions import i64

    from cygnet.facts.helpers import Helper
    from cygnet.verifier.args import Call

_MAX_ERRNO: Final[i64] = 4095
_COUNTS: Final = frozenset((45, 67, 114, 115, 141))  # give a length or an error: probe_read_str …, get_stack …
_FOR_EACH, _FIND_VMA, _LOOP, _DRAIN, _SET_CALLBACK = 164, 180, 181, 209, 170
_CALLBACKS: Final = frozenset((_FOR_EACH, _FIND_VMA, _LOOP, _DRAIN, _SET_CALLBACK))


def call(env: Env, ins: Ins) -> None:
    helper = find(env, ins.imm)
    _check_region(env, helper)
    meta = args.Call(helper.id)
    words = args.words(env, helper)
    for index, word in enumerate(words):
        args.check(env, helper, index, word, meta)
    maprules.check_write(meta.map, helper.name[4:])
    if helper.id == 12:
        _tail_call_key(env, meta)
    for raw in meta.writes:
        at: i64 = 0
        while at < raw.size and raw.regno >= 0:
            memory.access(env, raw.regno, at, 1, True, -1, False, False)
            at += 1
    _release(env, helper, meta)
    changes = _special(env, ins, helper, meta)
    regs = env.regs()
    result = _result(env, helper, meta)
    at = 0
    while at <= 5:
        regs[at] = NONE
        at += 1
    if result is not None:
        regs[0] = result
    maprules.check_call(env, meta.map, helper.name[4:], helper.id)
    if helper.id == 173:
        from cygnet.verifier.helperlists import check_func_ip

        check_func_ip(env)
    if changes:
        references.clear_packet_pointers(env)


def find(env: Env, number: i64) -> Helper:
    """The helper, if this program may call it."""
    from cygnet.facts.helpers import helper as row

    try:
        helper = row(number)
    except KeyError:
        if number == 0:
            raise Reject("program of this type cannot use helper bpf_unspec#0", EINVAL) from None
        raise Reject(f"invalid func unknown#{number}", EINVAL) from None
    programs = helper.programs
    from cygnet.verifier import helperlists

    also = helperlists.also(env, helper.id)
    if env.prog_type not in programs and env.prog_type != "ext" and not also:
        raise Reject(f"program of this type cannot use helper {helper.name}#{number}", EINVAL)
    if not also and not helperlists.allowed(env, helper.id):
        raise Reject(f"program of this type cannot use helper {helper.name}#{number}", EINVAL)
    env.target.check_helper(helper)
    if helper.gpl_only and not env.gpl and not helperlists.free(env, helper.id):
        raise Reject("cannot call GPL-restricted function from non-GPL compatible program", EINVAL)
    if not helperlists.fits_hook(env, helper.id):
        raise Reject("helper call is not allowed in probe", EINVAL)
    return helper


def _check_region(env: Env, helper: Helper) -> None:
    from cygnet.facts.helpers import SLEEPS

    if helper.id not in SLEEPS:
        return
    state = env.cur
    if not state.sleepable:
        raise Reject("helper call might sleep in a non-sleepable prog", EINVAL)
    name = f"{helper.name}#{helper.id}"
    if state.rcu_locks:
        raise Reject(f"sleepable helper {name} in rcu_read_lock region", EINVAL)
    if state.preempt_locks:
        raise Reject(f"sleepable helper {name} in non-preemptible region", EINVAL)
    if state.irq_id:
        raise Reject(f"sleepable helper {name} in IRQ-disabled region", EINVAL)


def _tail_call_key(env: Env, meta: Call) -> None:
    info = meta.map
    if info is None or info.kind != "prog_array":
        raise Reject("expected prog array map for tail call", EINVAL)
    reg = env.regs()[3]
    if reg.type == r.SCALAR and reg.mask == 0 and 0 <= reg.value < info.entries:
        precision.mark(env, 3)


def _release(env: Env, helper: Helper, meta: Call) -> None:
    if not meta.release:
        return
    from cygnet.facts.helpers import RELEASES

    word = helper.args[RELEASES[helper.id] - 1]
    reg = env.regs()[meta.release]
    done = False
    if word.startswith("dynptr"):
        from cygnet.verifier import dynptrs

        dynptrs.release(env, reg)
        done = True
    elif helper.id == 194 and meta.ref:
        from cygnet.verifier import kptrs

        done = kptrs.give(env, meta.ref)
    elif meta.ref:
        done = references.release(env, meta.ref)
    elif args.is_null(reg):
        done = True
    if not done:
        raise Reject(f"func {helper.name}#{helper.id} reference has not been acquired before", EINVAL)


def _special(env: Env, ins: Ins, helper: Helper, meta: Call) -> bool:
    """What single helpers need; True when pointers into the packet are void afterwards."""
    from cygnet.facts.helpers import CHANGES_PACKET

    number = helper.id
    regs = env.regs()
    changes = number in CHANGES_PACKET
    if number in _CALLBACKS:
        _callback(env, ins, number, meta)
    elif number == 12:
        references.check_leaks(env, False, True, "tail_call")
    elif number == 81 and not args.is_null(regs[2]):
        raise Reject("get_local_storage() doesn't support non-zero flags", EINVAL)
    elif number == 165:
        from cygnet.verifier import formats

        formats.check_snprintf(env)
    elif number == 197 and regs[1].type != r.MAP_VALUE:
        raise Reject(f"Unsupported reg type {type_text(regs[1].type)} for bpf_dynptr_from_mem data", EACCES)
    elif number == 203 or number == 202:
        from cygnet.verifier import dynptrs

        which: i64 = 1
        reg = regs[which]
        meta.dynptr_type = dynptrs.type_of(env, reg)
        if number == 203:
            meta.dynptr_id = dynptrs.id_of(env, reg)
            meta.ref = dynptrs.reference(env, reg)
        elif meta.dynptr_type in (3, 5):
            changes = True
    return changes


def _callback(env: Env, ins: Ins, number: int, meta: Call) -> None:
    from cygnet.verifier import callbacks

    if number == _LOOP:
        precision.mark(env, 1)
        frame = env.cur.frame()
        count = env.regs()[1].umax
        if count < 0 or frame.callback_depth < count:
            callbacks.push(env, ins, meta, callbacks.loop)
        else:
            frame.callback_depth = 0
    elif number == _FOR_EACH:
        callbacks.push(env, ins, meta, callbacks.map_element)
    elif number == _FIND_VMA:
        callbacks.push(env, ins, meta, callbacks.find_vma)
    elif number == _DRAIN:
        callbacks.push(env, ins, meta, callbacks.drain)
    else:
        callbacks.push(env, ins, meta, callbacks.timer)


def _result(env: Env, helper: Helper, meta: Call) -> RegState | None:
    word = helper.result
    nullable = word.endswith("?")
    word = word.rstrip("?")
    null: i64 = MAYBE_NULL if nullable else 0
    if word == "void":
        return None
    if word == "int":
        return _number(env, helper, meta)
    from cygnet.facts.helpers import ACQUIRES, CASTS

    if word == "value":
        result = _map_value(env, helper, meta, null)
    elif word == "socket":
        result = RegState(r.SOCKET | null, 0)
    elif word == "sock":
        result = RegState(r.SOCK_COMMON | null, 0)
    elif word == "tcp_sock":
        result = RegState(r.TCP_SOCK | null, 0)
    elif word == "record":
        result = RegState(r.MEM | r.RINGBUF | null, 0)
        result.aux = meta.mem_size
    elif word == "mem":
        result = RegState(r.MEM | null, 0)
        result.aux = meta.mem_size
    else:
        from cygnet.verifier import kerneltypes

        result = kerneltypes.result(env, word, null, meta)
    if result.type & MAYBE_NULL:
        result.id = env.new_id()
    if helper.id == 203:
        result.map_uid = meta.dynptr_id
    if helper.id in CASTS or helper.id == 203:
        result.ref = meta.ref
    elif helper.id in ACQUIRES or _acquires_socket(helper, meta):
        result.id = result.ref = references.acquire(env, env.insn)
    return result


def _acquires_socket(helper: Helper, meta: Call) -> bool:
    return helper.id == 1 and meta.map is not None and meta.map.kind in ("sockmap", "sockhash")


def _number(env: Env, helper: Helper, meta: Call) -> RegState:
    result = unknown()
    if helper.id in _COUNTS:
        most = meta.size_max
        result.smax = most
        result.s32_max = most if 0 <= most <= S32_MAX else S32_MAX
        result.smin = result.s32_min = -_MAX_ERRNO
        if most < 0:
            result.smax = S64_MAX
        result.sync()
    elif helper.id == 8:
        most = env.target.cpus - 1
        env.trusting = True
        result.umax = result.u32_max = result.smax = result.s32_max = most
        result.umin = result.u32_min = result.smin = result.s32_min = 0
        result.sync()
    return result


def _map_value(env: Env, helper: Helper, meta: Call, null: i64) -> RegState:
    info = meta.map
    if info is None:
        raise Reject("kernel subsystem misconfigured verifier", EINVAL)
    known = 0 <= meta.key < info.entries and info.kind in ("array", "percpu_array")
    if helper.id == 1 and known and env.target.at_least(6, 14):
        null = 0
    result = RegState(r.MAP_VALUE | null, 0)
    result.map = info
    result.map_uid = meta.map_uid
    if not null and (info.special("spin_lock") is not None or info.special("res_spin_lock") is not None):
        result.id = env.new_id()
    return result
