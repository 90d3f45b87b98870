"""The program as Python: what is left out changes nothing."""

import pytest

from cygnet import vm
from cygnet.isa.asm import assemble
from cygnet.isa.encode import encode
from cygnet.vm.translate import engine, source

COPIES = {
    "then added": ("r3 = 5\nr4 = r3\nr4 += 2\nr4 += r3\nr0 = r4\nexit", 12, 5),
    "then added to itself": ("r3 = 5\nr4 = r3\nr4 += r4\nr0 = r4\nexit", 10, 5),
    "twice": ("r3 = 5\nr5 = 7\nr4 = r3\nr4 = r5\nr0 = r4\nr0 -= r3\nexit", 2, 5),
    "narrowed": ("r3 = -1\nr4 = r3\nw4 += 2\nr0 = r4\nexit", 1, 4),
    "kept over a branch": ("r3 = 5\nr4 = r3\nif r2 == 0 goto +1\nr4 += 1\nr4 += 2\nr0 = r4\nexit", 7, None),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that the next line overwrites is not made: fewer lines, and the same result as by the other engines."""
    text, result, lines = COPIES[name]
    made: list[source.Text] = []

    def kept(*args: object) -> source.Text:
        made.append(source.source_of(*args))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(engine, "source_of", kept)
    code = encode(assemble(text))
    assert [vm.run(code, engine=each) for each in ("python", "interpreter", "jit")] == [result] * 3
    assigned = [line for line in made[0].lines if line.strip()[:5] in {f"r{n} = " for n in (0, 3, 4, 5)}]
    assert lines is None or len(assigned) == lines, made[0].lines  # with the r0 = 0 at the head
    assert len(made[0].lines) == len(made[0].slots)
