#!/usr/bin/env bash
# Installs, builds, and boots a guest; see ./boot --help.
set -euo pipefail
me=boot
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$root/tools/common.sh"
. "$root/images/linux/guest.sh"

usage() {
    cat <<'END'
usage: ./boot [options] [-- ring3's options]        a Linux guest, with a shell on this terminal
       ./boot [options] -c 'COMMAND'                one command in it; exits with its status
       ./boot [options] demo [-- ring3's options]   the demo guest, built here, nothing downloaded
       ./boot --build                               only builds; prints the path of ring3

  -c COMMAND         run COMMAND by the guest's shell, print what it prints, power off
  --arch ARCH        amd64 (the default) or i386
  --kernel KIND      Debian's kernel: amd64, cloud (both amd64), 686-pae, 686 (both i386)
  -m SIZE            the guest's memory, 512M if not given
  --cpu MODEL        the guest's processor (build/ui/ring3 -cpu help lists them)
  --build            only build
  --help             this text

With drives among ring3's options (-hda FILE and so on) Linux has them as /dev/sda, /dev/sr0, /dev/fd0.
The first run installs what is missing from Debian's packages (as root or with sudo), builds, and
fetches Debian's kernel and busybox into cache/; later runs start at once.
END
}

arch= kernel= command= memory=512M cpu= mode=linux has_command=
value() { [ $# -ge 2 ] || fail "$1: its value is missing; see ./boot --help"; }
while [ $# -gt 0 ]; do
    case $1 in
    -c) value "$@"; has_command=1 command=$2; shift 2 ;;
    --arch) value "$@"; arch=$2; shift 2 ;;
    --arch=*) arch=${1#*=}; shift ;;
    --kernel) value "$@"; kernel=$2; shift 2 ;;
    --kernel=*) kernel=${1#*=}; shift ;;
    -m) value "$@"; memory=$2; shift 2 ;;
    --cpu) value "$@"; cpu=$2; shift 2 ;;
    --cpu=*) cpu=${1#*=}; shift ;;
    --build) mode=build; shift ;;
    --help | -h) usage; exit 0 ;;
    demo) mode=demo; shift ;;
    --) shift; break ;;
    *) fail "$1: no such option; see ./boot --help (ring3's own options go behind --)" ;;
    esac
done
case $kernel in
"") ;;
amd64 | cloud) [ "${arch:-amd64}" = amd64 ] || fail "--kernel $kernel is for amd64; leave out --arch $arch"; arch=amd64 ;;
686 | 686-pae) [ "${arch:-i386}" = i386 ] || fail "--kernel $kernel is for i386; leave out --arch $arch"; arch=i386 ;;
*) fail "--kernel $kernel: no such kernel; there are amd64, cloud, 686-pae and 686" ;;
esac
case ${arch:=amd64} in
amd64) : "${kernel:=amd64}" ;;
i386) : "${kernel:=686-pae}" ;;
*) fail "--arch $arch: no such architecture; there are amd64 and i386" ;;
esac
[ "$mode" != demo ] || [ -z "$has_command" ] || fail "-c is for Linux; the demo takes -- -append run=cpu,pci,off"

packages "${build_packages[@]}" "${test_packages[@]}"
build build --buildtype=release -- ui/ring3 images/demo32.elf images/demo64.elf
ring3=${RING3:-$root/build/ui/ring3}

options=(-m "$memory" -no-reboot)
[ -z "$cpu" ] || options+=(-cpu "$cpu")
case $mode in
build)
    echo "$ring3"
    exit 0
    ;;
demo)
    bits=64
    [ "$arch" = amd64 ] || bits=32
    exec "$ring3" "${options[@]}" -kernel "$root/build/images/demo$bits.elf" -nographic "$@"
    ;;
esac

guest_fetch "$kernel" "$arch"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/ring3-boot.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if [ -n "$has_command" ]; then
    printf '%s\n' "$command" >"$scratch/command"
    { echo "file /ring3/command 644 $scratch/command"; guest_drives "$scratch" "$@"; } |
        guest_initrd "$arch" "$scratch"
    status=0
    "$ring3" "${options[@]}" -kernel "$guest_kernel" -initrd "$scratch/initrd" \
        -append "console=ttyS1,115200 quiet panic=-1" -display none -serial stdio \
        -serial "file:$scratch/com2" "$@" </dev/null || status=$?
    reported=$({ cat "$scratch/com2" 2>/dev/null || true; } | tr -d '\r' | sed -n 's/^ring3-status \([0-9]*\)$/\1/p' | tail -n 1)
    [ -z "$reported" ] || exit "$reported"
    [ "$status" -eq 0 ] || exit "$status"
    tail -n 20 "$scratch/com2" >&2
    fail "the guest ended before the command did; the lines above are its kernel's last"
fi
size=$(stty size 2>/dev/null || true)
case $size in
"" | 0* | *" 0") size="24 80" ;;
esac
printf 'ROWS=%s COLUMNS=%s\nexport TERM=%s\n' "${size% *}" "${size#* }" \
    "$(printf %s "${TERM:-linux}" | tr -cd 'A-Za-z0-9-')" >"$scratch/terminal"
{ echo "file /ring3/terminal 644 $scratch/terminal"; guest_drives "$scratch" "$@"; } |
    guest_initrd "$arch" "$scratch"
"$ring3" "${options[@]}" -kernel "$guest_kernel" -initrd "$scratch/initrd" \
    -append "console=ttyS0,115200 quiet" -nographic "$@"
