"""What --explain says of an object: paths and prices, sizes, needs, filters."""

from __future__ import annotations

from fakes import Action, LinkSpec, MapSpec, ObjectSpec

from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.session.costs import HELPER_NS, INSN_NS, cost_of
from cygnet.session.explain import explanation, size_text, text
from cygnet.session.options import Options
from cygnet.spec.objects import FuncInfo, ProgramSpec

NUMBERS = {"ktime_get_ns": 5, "get_current_comm": 16, "send_signal": 109}


def program(body: str, *functions: FuncInfo, name: str = "p") -> ProgramSpec:
    return ProgramSpec(name, 5, encode(assemble(body, NUMBERS.get)), functions=functions)


class Machine:
    """Has everything but helper 109, and cannot tell of program types."""

    cpus = 4

    def feature(self, name: str) -> bool:
        return True

    def helper(self, number: int, prog_type: int) -> bool:
        return number != 109

    def map_type(self, number: int) -> bool:
        return True

    def prog_type(self, number: int) -> None:
        return None


def test_straight_line() -> None:
    cost = cost_of(program("r0 = 0\nr0 += 1\nexit"))
    assert cost.path == (3, 3, 3 * INSN_NS, 3 * INSN_NS)
    assert not cost.loops


def test_branches_give_a_range() -> None:
    cost = cost_of(program("r0 = 0\nif r1 == 0 goto +2\ncall ktime_get_ns\ncall ktime_get_ns\nexit"))
    assert (cost.path.least_insns, cost.path.most_insns) == (3, 5)
    assert round(cost.path.most_ns - cost.path.least_ns, 3) == round(2 * (HELPER_NS["ktime_get_ns"] + INSN_NS), 3)
    assert cost.helpers == {"ktime_get_ns": 2}


def test_a_loop_is_counted_once_and_said() -> None:
    cost = cost_of(program("r0 = 9\nr0 -= 1\nif r0 != 0 goto -2\nexit"))
    assert cost.loops
    assert cost.path.most_insns == 4


def test_wide_load_and_calls_of_own_functions() -> None:
    body = "r1 = 7 ll\ncall sub\nexit\nsub:\ncall ktime_get_ns\nexit"
    cost = cost_of(program(body, FuncInfo(0, "main", "main"), FuncInfo(4, "sub", "sub")))
    assert cost.path.most_insns == 3 + 2
    assert cost.path.most_ns > HELPER_NS["ktime_get_ns"]


def described(**options: int) -> dict:  # type: ignore[type-arg]
    asked = Options()
    for name, value in options.items():
        setattr(asked, name, value)
    spec = ObjectSpec(
        programs=(program("r1 = 9\ncall send_signal\nexit"),),
        maps=(MapSpec("at_m", 5, 12, 20, 10), MapSpec("at_a", 6, 4, 16, 1)),
        links=(
            LinkSpec("p", "tracepoint", {"subsys": "a", "event": "b"}, "tracepoint:a:b"),
            LinkSpec("p", "perf_sample", {"unit": "hz", "value": 99, "cpus": "all"}, "profile:hz:99"),
        ),
        actions=(Action("printf", 32, (), "hello\n"),),
    )
    return explanation(spec, asked, Machine())


def test_everything_is_told() -> None:
    found = described()
    assert found["attach"]["kinds"] == {"tracepoint": 1, "perf_sample": 1}
    assert [one["memory_bytes"] for one in found["maps"]] == [(24 * 4 + 16 + 48) * 10, 16 * 4]
    assert found["unsafe"] == ["send_signal"]
    assert found["programs"][0]["frequency"] == "99 times a second on each CPU"
    needs = {(one["kind"], one["name"]): one for one in found["needs"]}
    assert needs["helper", "send_signal"] == {"kind": "helper", "name": "send_signal", "since": "5.3", "here": False}
    assert needs["program type", "tracepoint"]["here"] is None
    told = text(found)
    assert "- helper        send_signal" in told
    assert "1 of these are missing here" in told
    assert 'printf           40 B a record  "hello\\n"' in told


def test_the_filter_names_its_ways() -> None:
    assert described()["filter"] == ""
    found = described(pid=7)["filter"]
    assert "tracepoint: the program itself looks for process 7 first" in found
    assert "perf_sample: attached to process 7 only" in found


def test_long_lists_are_cut_unless_asked_for() -> None:
    found = described()
    found["attach"]["probes"] *= 20
    assert "more (-v shows all)" in text(found)
    assert "more (-v shows all)" not in text(found, verbose=True)


def test_sizes() -> None:
    assert [size_text(n) for n in (5, 2048, 1536, 8 << 20)] == ["5 B", "2 KiB", "1.5 KiB", "8 MiB"]


def test_counts_are_told_in_english() -> None:
    from cygnet.session.explain import _many

    assert (_many(1, "probe"), _many(0, "probe"), _many(2, "entry", "entries")) == ("1 probe", "0 probes", "2 entries")
