#!/usr/bin/env bash
# Runs a command on the lab's kernel, under QEMU's software emulation.
#
#   scripts/vmlab/run.sh [-t SECONDS] [-m MEMORY] [-c CPUS] [-d MIB] [-w FOLDER]… [-a KERNEL_ARGUMENTS] [-v] -- COMMAND…
#
# The command sees this machine's root file system read-only at the same paths, each FOLDER (the repository,
# unless given) read-write, empty /tmp, /run and /var/tmp, and a scratch disk of MIB (64) mounted on $VMLAB_SCRATCH
# from $VMLAB_DISK. Its stdout and stderr are streamed, its status handed on; 124: time limit, 125: the machine
# ended without a status (the console's tail is shown). It is no security boundary.
set -u
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
lab=${VMLAB:-$repository/.vmlab}
limit=300 memory=1G cpus=1 disk=64 arguments='' verbose='' writable=()
while getopts t:m:c:d:w:a:v option; do
    case $option in
    t) limit=$OPTARG ;;
    m) memory=$OPTARG ;;
    c) cpus=$OPTARG ;;
    d) disk=$OPTARG ;;
    w) writable+=("$(realpath "$OPTARG")") ;;
    a) arguments=$OPTARG ;;
    v) verbose=1 ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" && exit 2; }
[ ${#writable[@]} -gt 0 ] || writable=("$repository")

work=$(mktemp -d /var/tmp/vmlab.XXXXXX) files='' machine='' copy_out='' copy_err=''
cleanup() {
    local pid
    for pid in ${machine:+-$machine $machine} $files $copy_out $copy_err; do
        kill -9 -- "$pid" 2>/dev/null # `timeout` leads the process group of QEMU
    done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

export -p >"$work/environment"
pwd >"$work/folder"
printf '%q ' "$@" >"$work/command"
printf '%s\n' "$work" "${writable[@]}" >"$work/writable"
truncate -s "${disk}M" "$work/disk"
mkfs.ext4 -q -F "$work/disk"

# ── the first process of the machine ─────────────────────────────────────────────────────────────────────────
cat >"$work/init" <<'INIT'
#!/bin/bash
work=${0%/*}
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t devtmpfs dev /dev && mkdir /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t proc proc /proc
mount -t sysfs sys /sys
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
for port in /sys/class/virtio-ports/vport*; do
    read -r name <"$port/name" && ln -s "${port##*/}" "/dev/lab.$name"
done
exec </dev/null >/dev/lab.out 2>/dev/lab.err
say() { [ -z "$VMLAB_VERBOSE" ] || { read -r now _ </proc/uptime && echo "vmlab: $* at $now s" >&2; }; }
say 'first process'
mount -t tracefs none /sys/kernel/tracing
mount -t debugfs none /sys/kernel/debug
mount -t bpf none /sys/fs/bpf
mount -t securityfs none /sys/kernel/security
mount -t cgroup2 none /sys/fs/cgroup
[ -d /lib/modules ] && [ -d "$VMLAB_MODULES" ] && mount --bind "$VMLAB_MODULES" /lib/modules
# What is writable is moved out of the way while /tmp, /run and /var/tmp are covered, and then put back.
folders=()
while read -r folder; do
    mkdir "/dev/shm/.${#folders[@]}" && mount --bind "$folder" "/dev/shm/.${#folders[@]}"
    folders+=("$folder")
done <"$work/writable"
for covered in /tmp /run /var/tmp; do mount -t tmpfs -o mode=1777 none "$covered"; done
for number in "${!folders[@]}"; do
    mkdir -p "${folders[number]}" && mount --move "/dev/shm/.$number" "${folders[number]}"
done
ip link set lo up
hostname vmlab
modprobe -a virtio_blk ext4
mkdir -p /run/scratch && mount -t ext4 /dev/vda /run/scratch
say 'command'
(
    . "$work/environment"
    export VMLAB_KERNEL=$(uname -r) VMLAB_SCRATCH=/run/scratch VMLAB_DISK=/dev/vda
    cd "$(cat "$work/folder")" || cd /
    eval "exec $(cat "$work/command")"
) &
wait $!
status=$?
say "status $status"
echo $status >"$work/status"
echo b >/proc/sysrq-trigger # fast: nothing to shut down
sleep 60
INIT
chmod +x "$work/init"

# ── the shared root: a private mount namespace in which / is read-only, and only some folders are writable ───
virtiofsd=/usr/libexec/virtiofsd
[ -x "$virtiofsd" ] || virtiofsd=/usr/lib/qemu/virtiofsd
binds=''
for folder in "$work" "${writable[@]}"; do binds+="mount --bind $(printf '%q %q' "$folder" "$folder") && "; done
unshare -m --propagation private bash -c "$binds mount -t tmpfs none /run && mount -o remount,bind,ro / && exec \
    $virtiofsd -f --socket-path=$work/socket -o source=/ -o sandbox=chroot -o cache=always -o log_level=err" \
    2>"$work/files.log" &
files=$!
for _ in $(seq 500); do [ -S "$work/socket" ] && break; sleep 0.02; done
[ -S "$work/socket" ] || { cat "$work/files.log" >&2; echo 'vmlab: the file server did not start' >&2; exit 125; }

# ── the machine ──────────────────────────────────────────────────────────────────────────────────────────────
mkfifo "$work/out" "$work/err"
exec 5<>"$work/out" 6<>"$work/err" # so that neither side waits for the other to open
cat <"$work/out" 5>&- 6>&- & copy_out=$!
cat <"$work/err" >&2 5>&- 6>&- & copy_err=$!
console=$work/console level=quiet
[ -n "$verbose" ] && console=$work/err level=loglevel=6
# One thread for all CPUs, which is as quick here: with a thread for each, a CPU now and then runs the breakpoint under
# which another rewrites a jump after that is done, and the kernel takes it for a stray one and panics.
boot="root=rootfs rootfstype=virtiofs rw init=$work/init VMLAB_VERBOSE=$verbose VMLAB_MODULES=$lab/lib/modules"
boot+=" console=ttyS0 $level panic=-1 oops=panic nokaslr mitigations=off no_timer_check nowatchdog"
boot+=" rcupdate.rcu_cpu_stall_suppress=1 random.trust_cpu=on lsm=landlock,lockdown,yama,bpf $arguments"
timeout -k 2 "$limit" qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot -M q35,graphics=off \
    -accel tcg,thread=single -cpu max,la57=off -smp "$cpus" -m "$memory" \
    -object "memory-backend-memfd,id=mem,size=$memory,share=on" -machine memory-backend=mem \
    -chardev "socket,id=files,path=$work/socket" -device vhost-user-fs-pci,chardev=files,tag=rootfs \
    -drive "file=$work/disk,format=raw,if=none,id=disk,cache=unsafe" -device virtio-blk-pci,drive=disk \
    -device virtio-serial-pci \
    -chardev "file,id=out,path=$work/out" -device virtserialport,chardev=out,name=out \
    -chardev "file,id=err,path=$work/err" -device virtserialport,chardev=err,name=err \
    -chardev "file,id=console,path=$console" -serial chardev:console -device virtio-rng-pci \
    -kernel "$lab/vmlinux" -append "$boot" </dev/null 5>&- 6>&- &
machine=$!
wait "$machine"
ended=$? machine=''
exec 5>&- 6>&-
wait "$copy_out" "$copy_err"
copy_out='' copy_err=''
[ -s "$work/status" ] && exit "$(cat "$work/status")"
[ -f "$work/console" ] && tr -d '\r' <"$work/console" | tail -n 25 >&2
if [ $SECONDS -ge "$limit" ]; then
    echo "vmlab: time limit of $limit s" >&2
    exit 124
fi
[ $ended = 137 ] && echo 'vmlab: QEMU was killed; the system may have run out of memory' >&2
echo "vmlab: the machine ended without a status (QEMU: $ended)" >&2
exit 125
