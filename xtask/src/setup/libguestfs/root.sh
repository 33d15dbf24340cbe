# Makes of packages ($1, a folder of them) a root ($2) in which they count as installed: supermin asks
# dpkg which files are whose. None of their scripts is run.
set -e
packages=$1 root=$2 info=$2/var/lib/dpkg/info status=$2/var/lib/dpkg/status
mkdir -p "$info" "$root/var/lib/dpkg/updates" "$root/proc" "$root/dev"
# As on every installed system of today; tar then unpacks through these links.
for name in bin sbin lib lib64; do
    mkdir -p "$root/usr/$name"
    ln -s "usr/$name" "$root/$name"
done
for package in "$packages"/*.deb; do
    name=$(dpkg-deb --field "$package" Package)
    dpkg-deb --fsys-tarfile "$package" |
        tar --extract --verbose --keep-directory-symlink --no-same-owner --directory "$root" |
        sed 's,^\.,,; s,/$,,; s,^$,/.,' >"$info/$name.list"
    dpkg-deb --field "$package" | sed '/^Package:/a Status: install ok installed' >>"$status"
    echo >>"$status"
done
for name in passwd group; do
    cp "$root/usr/share/base-passwd/$name.master" "$root/etc/$name"
done
