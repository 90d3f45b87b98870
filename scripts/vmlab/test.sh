#!/usr/bin/env bash
# Boots the lab's kernel once and runs tests inside it, with the virtual environment's own interpreter.
#
#   scripts/vmlab/test.sh [--if-possible] smoke|all [PYTEST ARGUMENTS]
#
# smoke: tests/vmlab and the files of tests/kernel named below; all: tests/vmlab and tests/kernel, but for what holds the
# package's tables and its verifier against a kernel that is as new as they (tests/kernel/facts, isa, test_verifier_*).
# With --if-possible a machine that cannot have a lab is no failure; a lab that can be made is made.
set -euo pipefail
cd "$(dirname "$0")/../.."

smoke=(tests/kernel/test_attach.py tests/kernel/test_maps.py tests/kernel/test_progs.py tests/kernel/test_ringbuf.py)
limit=${VMLAB_LIMIT:-}
possible=''
if [ "${1:-}" = --if-possible ]; then possible=1 && shift; fi
what=${1:-smoke} && shift || true

status=0
scripts/vmlab/setup.sh || status=$?
if [ $status = 3 ] && [ -n "$possible" ]; then
    echo 'vmlab: no lab on this machine; its tests were not run' >&2
    exit 0
fi
[ $status = 0 ] || exit $status

case $what in
smoke)
    tests=(tests/vmlab "${smoke[@]}" --deselect tests/kernel/test_ringbuf.py::test_many_times_around) limit=${limit:-1200}
    ;;
all)
    tests=(tests/vmlab tests/kernel --ignore tests/kernel/facts --ignore tests/kernel/isa
        --ignore-glob 'tests/kernel/test_verifier_*') limit=${limit:-14400}
    ;;
*) echo "vmlab: unknown set of tests: $what" >&2 && exit 2 ;;
esac
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
exec scripts/vmlab/run.sh -t "$limit" -c 2 -m 2G -- \
    "${VENV:-.venv}/bin/python" -m pytest -p no:cacheprovider "${tests[@]}" "$@"
