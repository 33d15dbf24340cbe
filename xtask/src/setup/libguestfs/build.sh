# In namespaces of its own: enters a root ($1) and has supermin build libguestfs' appliance there, with
# the kernel of this version ($2).
set -e
mount --rbind /dev "$1/dev"
mount --rbind /proc "$1/proc"
export SUPERMIN_KERNEL="/boot/vmlinuz-$2" SUPERMIN_KERNEL_VERSION="$2"
export SUPERMIN_MODULES="/usr/lib/modules/$2"
# Who is root here alone cannot give a file to others.
export TAR_OPTIONS=--no-same-owner PATH=/usr/sbin:/usr/bin TMPDIR=/tmp LC_ALL=C
exec chroot "$1" /bin/sh -ec '
    ldconfig
    depmod "$1"
    exec supermin --build --copy-kernel --format ext2 -o /appliance \
        /usr/lib/*/guestfs/supermin.d
' sh "$2"
