"""Writes down what the live kernel says of a share of the corpus, for machines that cannot ask: run as a module, as root.

Only programs that need no kernel types: a kernel function's number is another one on every kernel.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

from tests.verifier import corpus
from tests.verifier.judge import Judge
from tests.verifier.sides import pair

from cygnet.verifier.records import shared_kernel

PLACE = Path(__file__).with_name("cases") / "verdicts.json"
EVERY = 23
_KERNEL_WORDS = ("kfunc ", "kernel ", "TRACE_RAW_TP", "TRACE_ITER", "get_current_task_btf", "bpf_skc_to", "r1 = type")


def portable(case: corpus.Case) -> bool:
    return not any(word in line for line in case.lines for word in _KERNEL_WORDS)


def main() -> None:
    rows: dict[str, list[object]] = {}
    btf = shared_kernel()
    with Judge() as judge:
        for case in islice(corpus.read(), 0, None, EVERY):
            if not portable(case):
                continue
            found = pair(judge, case.spec(btf), kernel_btf=btf)
            if found is not None and not found.kind:
                opinion = found.kernel
                rows[case.name] = [opinion.accepted, "" if opinion.accepted else opinion.reason]
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
    PLACE.write_text("{\n" + text + "\n}\n")


if __name__ == "__main__":
    main()
