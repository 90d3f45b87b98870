"""Random programs that break no rule of the language: what the kernel's verifier says of them is what is tested.

Values are numbers, strings (short ones and ones read from the environment, which are as long as max_strlen) and pairs of
both, in variables, maps, keys, conditions and loops of every kind. Loops over maps only on demand: a random one,
nested in another, once made the verifier of Linux 6.18.44 itself follow a stale pointer (in __mark_chain_precision,
called from propagate_precision), which ends the process that loads the program and harms the machine.
"""

from __future__ import annotations

import random

NUMBER, TEXT, PAIR = "n", "s", "p"
LONG = "str(uptr(curtask->mm->env_start))"
HEADS = ("begin", "end", "interval:s:100", "profile:hz:1", "tracepoint:sched:sched_switch", "software:cpu-clock:1000000",
         "rawtracepoint:sched_switch", "self:signal:SIGUSR2")  # fmt: skip


class ProgramWriter:
    """`text()` is one program. Names carry their kind: ``$n1`` is a number, ``@s2`` a map of strings."""

    def __init__(self, seed: int, long: bool = True, over_maps: bool = False) -> None:
        self.random = random.Random(seed)
        self.long = long
        self.over_maps = over_maps
        self.maps = {"@n0": "n", "@n1": "s", "@n2": "p", "@s0": "n", "@s1": "s", "@p0": "s", "@p1": "p"}
        self.scopes: list[dict[str, str]] = [{}]
        self.made = 0
        self.loops = 0
        self.callbacks = 0

    def text(self) -> str:
        keyed = " ".join(f"{name}[{self.constant(key)}] = {self.constant(name[1])};" for name, key in self.maps.items())
        probes = [f'begin {{ {keyed} @g = 1; @t = ""; @count = count(); }}']
        for _ in range(self.random.choice((1, 1, 2))):
            self.scopes = [{}]
            probes.append(f"{self.random.choice(HEADS)} {self.predicate()}{self.block(3)}")
        return "\n".join(probes)

    def predicate(self) -> str:
        return f"/{self.condition(2)}/ " if self.random.random() < 0.3 else ""

    # -- values --

    def constant(self, kind: str) -> str:
        if kind == NUMBER:
            return str(self.random.choice((1, 5, 300, 70000, 1 << 40)))
        if kind == TEXT:
            return self.random.choice(('""', '"a"', '"some text"', '"' + "long" * 20 + '"'))
        return f"({self.constant(NUMBER)}, {self.constant(TEXT)})"

    def value(self, kind: str, depth: int) -> str:
        names = [name for scope in self.scopes for name, known in scope.items() if known == kind]
        if names and self.random.random() < 0.35:
            return self.random.choice(names)
        if depth <= 0:
            return self.constant(kind)
        return {NUMBER: self.number, TEXT: self.string, PAIR: self.pair}[kind](depth - 1)

    def number(self, depth: int) -> str:
        v = self.value
        return self.random.choice(
            (
                lambda: f"({v('n', depth)} {self.random.choice('+-*/%&|^')} {v('n', depth)})",
                lambda: f"({v('n', depth)} {self.random.choice(('<<', '>>'))} {self.random.randrange(64)})",
                lambda: f"({self.condition(depth)} ? {v('n', depth)} : {v('n', depth)})",
                lambda: f"({self.random.choice(('uint8', 'int16', 'uint32', 'int64'))})({v('n', depth)})",
                lambda: f"{v('p', depth)}.0",
                lambda: f"(uint64)strlen({v('s', depth)})",
                lambda: f"strncmp({v('s', depth)}, {v('s', depth)}, {self.random.choice((1, 5, 64, 100))})",
                lambda: f"strstr({v('s', depth)}, {v('s', 0)})",
                lambda: self.element("n", depth),
                lambda: self.random.choice(("pid", "cpu", "nsecs", "curtask->pid", "(uint64)@count", "@g", "len(@n0)")),
            )
        )()

    def string(self, depth: int) -> str:
        v = self.value
        return self.random.choice(
            (
                lambda: "comm",
                lambda: LONG if self.long else "comm",
                lambda: f"str(uptr(curtask->mm->env_start), {self.random.choice((3, 65, 200))})",
                lambda: f"({self.condition(depth)} ? {v('s', depth)} : {v('s', depth)})",
                lambda: f"{v('p', depth)}.1",
                lambda: "curtask->comm",
                lambda: "@t",
                lambda: self.element("s", depth),
            )
        )()

    def pair(self, depth: int) -> str:
        v = self.value
        return self.random.choice(
            (
                lambda: f"({v('n', depth)}, {v('s', depth)})",
                lambda: f"({self.condition(depth)} ? {v('p', depth)} : {v('p', depth)})",
                lambda: self.element("p", depth),
            )
        )()

    def element(self, kind: str, depth: int) -> str:
        name = self.random.choice([name for name in self.maps if name[1] == kind])
        return f"{name}[{self.value(self.maps[name], depth)}]"

    def condition(self, depth: int) -> str:
        v = self.value
        if depth <= 0:
            return self.random.choice(("pid > 5", 'comm == "x"', "@g", "cpu < 3"))
        return self.random.choice(
            (
                lambda: f"{v('n', depth - 1)} {self.random.choice(('==', '!=', '<', '>='))} {v('n', depth - 1)}",
                lambda: f"{v('s', depth - 1)} {self.random.choice(('==', '!='))} {v('s', depth - 1)}",
                lambda: f"{v('p', depth - 1)} == {v('p', depth - 1)}",
                lambda: (
                    f"({self.condition(depth - 1)}) {self.random.choice(('&&', '||'))} ({self.condition(depth - 1)})"
                ),
                lambda: f"!({self.condition(depth - 1)})",
                lambda: f"has_key(@n1, {v('s', depth - 1)})",
                lambda: f"strcontains({v('s', depth - 1)}, {self.constant('s')})",
                lambda: "@count > 3",
            )
        )()

    # -- statements --

    def block(self, depth: int) -> str:
        self.scopes.append({})
        lines = [self.statement(depth) for _ in range(self.random.randrange(1, 6))]
        self.scopes.pop()
        return "{ " + " ".join(lines) + " }"

    def statement(self, depth: int) -> str:
        simple = (self.assign, self.assign, self.store, self.store, self.aggregate, self.show, self.remove, self.step)
        nested = (self.branch, self.branch, self.range, self.unroll, self.whiles)
        if self.over_maps:
            nested = (*nested, self.over_map)
        make = self.random.choice(simple + nested if depth > 0 else simple)
        return make(depth - 1)

    def new(self, kind: str) -> str:
        self.made += 1
        return f"${kind}{self.made}"

    def assign(self, depth: int) -> str:
        kind = self.random.choice((NUMBER, TEXT, PAIR))
        known = [name for scope in self.scopes for name, k in scope.items() if k == kind and not name.endswith("loop")]
        value = self.value(kind, 2)
        if known and self.random.random() < 0.5:
            return f"{self.random.choice(known)} = {value};"
        name = self.new(kind)
        self.scopes[-1][name] = kind
        return f"{name} = {value};"

    def store(self, depth: int) -> str:
        name = self.random.choice(list(self.maps))
        return f"{name}[{self.value(self.maps[name], 2)}] = {self.value(name[1], 2)};"

    def aggregate(self, depth: int) -> str:
        n = self.value(NUMBER, 1)
        return self.random.choice(
            ("@count = count();", f"@sum[{self.value(TEXT, 1)}] = sum({n});", f"@avg[{self.value(PAIR, 1)}] = avg({n});",
             f"@hist[{self.value(TEXT, 1)}] = hist({n});", f"@max = max({n});", f"@lin = lhist({n}, 0, 100, 10);")
        )  # fmt: skip

    def show(self, depth: int) -> str:
        kind = self.random.choice((NUMBER, TEXT, PAIR))
        return self.random.choice(
            (f"print({self.value(kind, 1)});", f'printf("%d %s %s\\n", {self.value("n", 1)}, {self.value("s", 1)}, '
             f'{self.value("p", 1)});')
        )  # fmt: skip

    def remove(self, depth: int) -> str:
        name = self.random.choice(list(self.maps))
        return f"delete({name}, {self.value(self.maps[name], 1)});"

    def step(self, depth: int) -> str:
        return self.random.choice(("@g++;", f"@n0[{self.value('n', 1)}]++;", f"@t = {self.value('s', 1)};", "@g += 3;"))

    def branch(self, depth: int) -> str:
        other = f" else {self.block(depth)}" if self.random.random() < 0.5 else ""
        return f"if ({self.condition(2)}) {self.block(depth)}{other}"

    def body(self, depth: int) -> str:
        self.loops += 1
        text = self.block(depth)
        leave = self.random.choice(("", "", "break;", "continue;", "return;"))
        self.loops -= 1
        return text[:-1] + (f"if ({self.condition(1)}) {{ {leave} }} " if leave else "") + "}"

    def range(self, depth: int) -> str:
        name = f"${NUMBER}{self.made}rangeloop"  # not the name of a `while`
        self.made += 1
        self.scopes.append({name: NUMBER})
        text = f"for ({name} : 0..{self.random.choice(('3', '50', 'pid'))}) {self.body(depth)}"
        self.scopes.pop()
        return text

    def over_map(self, depth: int) -> str:
        source = self.random.choice([name for name, key in self.maps.items() if key == NUMBER or name == "@p0"])
        name = f"$kv{self.made}"
        self.made += 1
        value, key = self.new(source[1]), self.new(self.maps[source])
        self.scopes.append({value: source[1], key: self.maps[source]})
        text = self.body(depth)
        self.scopes.pop()
        return f"for ({name} : {source}) {{ {value} = {name}.1; {key} = {name}.0; {text[1:]}"

    def unroll(self, depth: int) -> str:
        return f"unroll({self.random.choice((1, 2, 5))}) {self.body(depth)}"

    def whiles(self, depth: int) -> str:
        name = self.new(NUMBER)
        self.scopes[-1][name + "loop"] = NUMBER
        return f"{name}loop = 0; while ({name}loop < 10) {{ {name}loop++; {self.body(depth)[1:]}"
