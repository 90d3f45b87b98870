#!/usr/bin/env bash
# Prepares the kernel lab in a folder: QEMU from the system's packages, and Debian's 6.12 kernel, unpacked.
#
#   scripts/vmlab/setup.sh [FOLDER]      FOLDER is .vmlab unless given; what is there already is kept
#
# The kernel package is downloaded and unpacked, never installed: the machine boots what it booted before.
# Exit status 3: this machine cannot have a lab (not root, or no apt); anything else is a failure.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
lab=${1:-$here/../../.vmlab}
package=linux-image-6.12-cloud-amd64

say() { printf 'vmlab: %s\n' "$*" >&2; }
tools_are_here() { command -v qemu-system-x86_64 depmod zstd mkfs.ext4 >/dev/null && [ -n "$(virtiofsd_path)" ]; }
virtiofsd_path() {
    local path
    for path in /usr/libexec/virtiofsd /usr/lib/qemu/virtiofsd; do
        [ -x "$path" ] && { echo "$path"; return; }
    done
    return 0
}

apt() { DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -qq "$@"; }

install_tools() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { say "needs root and apt to install QEMU"; exit 3; }
    say "installing qemu-system-x86, kmod, zstd, e2fsprogs"
    # A fresh machine has no package lists yet; a stale one names versions that are gone.
    apt install -y --no-install-recommends qemu-system-x86 kmod zstd e2fsprogs >/dev/null 2>&1 ||
        { apt update && apt install -y --no-install-recommends qemu-system-x86 kmod zstd e2fsprogs >/dev/null; }
    [ -n "$(virtiofsd_path)" ] || apt install -y --no-install-recommends virtiofsd >/dev/null
}

# The package of one kernel version that the meta package names now.
kernel_package() { apt-cache depends "$package" 2>/dev/null | awk '/Depends: linux-image-6/ { print $2; exit }'; }

fetch_kernel() {
    local version modules
    version=$(kernel_package)
    [ -n "$version" ] || { apt update; version=$(kernel_package); }
    [ -n "$version" ] || { say "this system's packages have no $package"; exit 3; }
    say "fetching $version"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    (cd "$work" && apt -o APT::Sandbox::User=root download "$version" >/dev/null && dpkg-deb -x "$version"_*.deb tree)
    rm -rf "$lab" && mkdir -p "$lab/lib"
    python3 "$here/extract_vmlinux.py" "$work"/tree/boot/vmlinuz-* "$lab/vmlinux"
    modules=$work/tree/lib/modules
    [ -d "$modules" ] || modules=$work/tree/usr/lib/modules
    mv "$modules" "$lab/lib/modules"
    depmod -b "$lab" "${version#linux-image-}"
    cp "$work"/tree/boot/config-* "$lab/config"
    echo "${version#linux-image-}" >"$lab/version" # last: what is unfinished has no version
}

[ "$(uname -m)" = x86_64 ] || { say "is for x86-64 machines"; exit 3; }
tools_are_here || install_tools
[ -s "$lab/version" ] || fetch_kernel
mkdir -p /lib/modules # where the machine's own modules are mounted in the lab
