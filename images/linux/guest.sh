# Sourced by ./boot: Debian's kernels and busybox, and an initramfs of our own, under cache/.
# shellcheck shell=bash

# apt for one architecture; for another than the machine's with lists of its own, so that the system
# stays as it is.
apt_for() {
    local arch=$1 tool=$2 state=$root/cache/apt-$1
    shift 2
    if [ "$arch" = "$(dpkg --print-architecture)" ] && apt-cache show busybox-static >/dev/null 2>&1; then
        "$tool" -o APT::Sandbox::User=root "$@"
        return
    fi
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    : >"$state/status"
    "$tool" -o APT::Architecture="$arch" -o APT::Architectures::="$arch" -o APT::Sandbox::User=root \
        -o Dir::State="$state" -o Dir::State::status="$state/status" -o Dir::Cache="$state" \
        -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

apt_knows() { apt_for "$1" apt-cache show "$2" >/dev/null 2>&1; }

# Reads the lists when they do not know the package yet.
apt_learn() {
    apt_knows "$1" "$2" && return
    # A source of a third party that is down must not stop us: what counts is whether the package is known.
    try_step "reading the list of Debian's $1 packages" apt_for "$1" apt-get -q update || true
    apt_knows "$1" "$2" || fail "$2 ($1): Debian's package is not known to apt; check /etc/apt"
}

# unpack ARCH PACKAGE FOLDER NEEDED WANTED...: downloads a package and takes files out of it; those
# after the first may be missing.
unpack() {
    local arch=$1 package=$2 folder=$3 needed=$4
    shift 3
    mkdir -p "$folder"
    (
        cd "$folder" && apt_for "$arch" apt-get -q download "$package" || exit 1
        dpkg-deb --fsys-tarfile ./*.deb | tar -x --wildcards "$@" || compgen -G "$needed" || exit 1
        rm -f ./*.deb
    )
}

# Modules for the disks, CD-ROMs and floppies that ring3's options may bring, and what is on them.
guest_modules=(ata_piix ata_generic sd_mod sr_mod floppy isofs ext4 crc32c_generic vfat nls_ascii
    nls_cp437)

# guest_fetch KERNEL ARCH: sets guest_kernel and guest_module_folder.
guest_fetch() {
    local kernel=$1 arch=$2 meta package folder=$root/cache/guests
    guest_kernel=$folder/vmlinuz-$kernel
    guest_module_folder=$folder/modules-$kernel
    # Whoever comes while another fetches waits, and then finds it there.
    mkdir -p "$folder"
    exec 9>"$folder/lock"
    flock 9
    if [ ! -e "$guest_kernel" ] || [ ! -e "$guest_module_folder" ]; then
        case $kernel in
        cloud) meta=linux-image-cloud-amd64 ;;
        *) meta=linux-image-$kernel ;;
        esac
        apt_learn "$arch" "$meta"
        package=$(apt_for "$arch" apt-cache show --no-all-versions "$meta" |
            sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p' | head -n 1)
        [ -n "$package" ] || fail "$meta ($arch): it names no kernel; check /etc/apt"
        rm -rf "$folder/part"
        step "fetching Debian's $package ($arch)" unpack "$arch" "$package" "$folder/part" \
            './boot/vmlinuz-*' './lib/modules/*/kernel/drivers/ata' \
            './lib/modules/*/kernel/drivers/scsi/*.ko' './lib/modules/*/kernel/drivers/cdrom' \
            './lib/modules/*/kernel/drivers/block/floppy.ko' './lib/modules/*/kernel/block' \
            './lib/modules/*/kernel/lib' './lib/modules/*/kernel/crypto' \
            './lib/modules/*/kernel/fs/[efijmn]*' || exit 1
        rm -rf "$guest_module_folder"
        mv "$folder/part/lib/modules" "$guest_module_folder"
        mv "$folder"/part/boot/vmlinuz-* "$guest_kernel"
        rm -rf "$folder/part"
    fi
    if [ ! -e "$folder/busybox-$arch" ]; then
        apt_learn "$arch" busybox-static
        rm -rf "$folder/part"
        step "fetching Debian's busybox-static ($arch)" unpack "$arch" busybox-static "$folder/part" \
            './bin/busybox' || exit 1
        mv "$folder/part/bin/busybox" "$folder/busybox-$arch"
        rm -rf "$folder/part"
    fi
    exec 9>&-
}

# The part of the initramfs that is the same at every start.
base_initramfs() {
    local arch=$1 busybox=$root/cache/guests/busybox-$1 applet
    {
        cat <<END
dir /root 700
dir /proc 755
dir /sys 755
dir /dev 755
dir /tmp 1777
dir /run 755
dir /ring3 755
node /dev/console 600 c 5 1
node /dev/null 666 c 1 3
file /init 755 $root/images/linux/init
file /bin/busybox 755 $busybox
END
        # A host that cannot run it leaves the links to init.
        "$busybox" --list-full 2>/dev/null | while read -r applet; do
            [ "$applet" = bin/busybox ] || echo "link /$applet /bin/busybox"
        done
    } | python3 "$root/images/linux/mkinitramfs.py" "$root/cache/guests/initramfs-$arch"
}

# guest_drives FOLDER OPTION...: list lines for the modules, when ring3's options bring drives.
guest_drives() {
    local folder=$1 option
    shift
    for option in "$@"; do
        case $option in
        -hd? | --hd? | -cdrom | --cdrom | -fd? | --fd? | -drive | --drive)
            python3 "$root/images/linux/modules.py" "$guest_module_folder" "$folder" \
                "${guest_modules[@]}" || fail "cannot choose modules from $guest_module_folder; remove it"
            return
            ;;
        esac
    done
}

# guest_initrd ARCH FOLDER: FOLDER/initrd, from the base and what the list on standard input adds.
guest_initrd() {
    local arch=$1 folder=$2 base=$root/cache/guests/initramfs-$1 file
    for file in "$root/images/linux/init" "$root/images/linux/mkinitramfs.py" \
        "$root/images/linux/guest.sh" "$root/cache/guests/busybox-$arch"; do
        if [ ! -e "$base" ] || [ "$file" -nt "$base" ]; then
            base_initramfs "$arch" || fail "cannot write $base; free some space"
            break
        fi
    done
    python3 "$root/images/linux/mkinitramfs.py" "$folder/extra" || fail "cannot write $folder/extra"
    cat "$base" "$folder/extra" >"$folder/initrd"
}
