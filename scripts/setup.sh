#!/usr/bin/env bash
# Prepares a machine for the Makefile: the virtual environment, system packages, kernel file systems.
#
#   scripts/setup.sh install        the package, as a user installs it
#   scripts/setup.sh install-dev    the same with the tools of the `dev` extra
#   scripts/setup.sh develop        in place: edits to src/ count at once
#   scripts/setup.sh system-trace   mount what tracing needs (root)
#   scripts/setup.sh system-test    the same, and the system packages the tests call (root, apt)
#
# Each does only what is missing, and says what it does.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${VENV:-.venv}
python=$venv/bin/python

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
is_root() { [ "$(id -u)" = 0 ]; }
can_apt() { is_root && command -v apt-get >/dev/null; }

apt_install() {
    say "apt-get install $*"
    # A fresh machine has no package lists yet; a stale one names versions that are gone.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 && return
    apt-get update -qq >/dev/null || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# The first Python on this machine that is new enough.
find_python() {
    local candidate
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

make_venv() {
    # A virtual environment whose interpreter has gone is no environment.
    "$python" -c 'import pip' 2>/dev/null && return
    local base
    if ! base=$(find_python); then
        can_apt || die "Python 3.11 or newer is needed: install python3 and python3-venv"
        apt_install python3 python3-venv || true
        find_python >/dev/null || apt_install python3.11 python3.11-venv
        base=$(find_python) || die "this system's packages have no Python 3.11 or newer"
    fi
    if ! "$base" -c 'import ensurepip, venv' 2>/dev/null; then
        can_apt || die "Python's venv module is missing: apt-get install python3-venv"
        local version
        version=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "python$version-venv" || apt_install python3-venv
    fi
    say "making $venv with $("$base" --version)"
    "$base" -m venv --clear "$venv"
}

is_editable() {
    "$python" - <<'PY' 2>/dev/null
import json, sys
from importlib.metadata import distribution
text = distribution("cygnet").read_text("direct_url.json") or "{}"
sys.exit(not json.loads(text).get("dir_info", {}).get("editable"))
PY
}

has_dev_tools() {
    "$python" - <<'PY' 2>/dev/null
import re, tomllib
from importlib.metadata import distribution
extra = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["dev"]
for requirement in extra:
    distribution(re.match(r"[\w-]+", requirement)[0])
PY
}

# pip compiles what it installs, whatever PYTHONDONTWRITEBYTECODE says; an install in place it does not.
install() {
    local what=$1
    make_venv
    if is_editable && { [ "$what" = . ] || has_dev_tools; }; then
        say "$venv holds an install in place: kept"
        "$python" -m compileall -q src
    else
        say "installing $what into $venv"
        "$python" -m pip install --quiet --disable-pip-version-check --compile "$what"
    fi
}

mount_one() {
    local type=$1 where=$2
    grep -q " $where $type " /proc/mounts && return
    is_root || { say "$where is not mounted; as root: mount -t $type $type $where"; return 0; }
    say "mounting $type on $where"
    mount -t "$type" "$type" "$where" || say "could not mount $where: what needs it will say so"
}

system_trace() {
    mount_one tracefs /sys/kernel/tracing
}

# What the tests and benchmarks call: "command-or-header package", one a line.
test_needs='bpftrace bpftrace
bpftool bpftool
clang clang
llvm-objdump llvm
gcc gcc
readelf binutils
strace strace
/usr/include/bpf/libbpf.h libbpf-dev
/usr/include/linux/bpf.h linux-libc-dev'

is_here() {
    case $1 in
    /*) [ -e "$1" ] ;;
    *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
    esac
}

# The tests compile the verifier's core. A Python that was not built here keeps its headers in a package of its own.
python_headers() {
    local version
    "$python" -c 'import sysconfig, os; exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' && return
    can_apt || { say "Python's headers are missing: the compiled verifier is not tested"; return 0; }
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    apt_install "libpython$version-dev" || apt_install libpython3-dev ||
        say "no package of Python's headers: the compiled verifier is not tested"
}

system_test() {
    local missing=() need package
    while read -r need package; do
        is_here "$need" || missing+=("$package")
    done <<<"$test_needs"
    if [ ${#missing[@]} -gt 0 ]; then
        if can_apt; then
            local one
            # Ubuntu has bpftool inside linux-tools-common: one name that fails must not stop the others.
            for one in "${missing[@]}"; do
                apt_install "$one" || { [ "$one" = bpftool ] && apt_install linux-tools-common; } ||
                    say "no package $one: tests that call it will fail"
            done
        else
            say "missing, and needed by some tests: ${missing[*]}"
        fi
    fi
    python_headers
    system_trace
    mount_one bpf /sys/fs/bpf
}

case ${1:-} in
install) install . && touch "$venv/.installed" ;;
install-dev) install '.[dev]' && touch "$venv/.installed" "$venv/.installed-dev" ;;
develop)
    make_venv
    "$python" -m pip install --quiet --disable-pip-version-check -e '.[dev]'
    "$python" -m compileall -q src
    touch "$venv/.installed" "$venv/.installed-dev"
    ;;
system-trace) system_trace ;;
system-test) system_test ;;
*) sed -n '2,9s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
