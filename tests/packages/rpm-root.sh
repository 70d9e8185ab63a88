# rpm --root, as images are made: $1 is a root that nothing runs in.
set -eu
root=$1
# Debian's rpm warns that dpkg is to be used.
rpm() { command rpm --root "$root" "$@" 2> "$root/t/warnings" || { cat "$root/t/warnings"; return 1; }; }
packages=$root/t

command rpm --root "$root" --initdb
(cd "$root" && find etc usr var -not -path 'var/lib/rpm*' -not -path 'usr/lib/sysimage*' | sort) > "$packages/before"
rpm -i --nodeps "$packages/previous.rpm"
rpm -V --nodeps choria
chroot "$root" choria --version
rpm -U --nodeps "$packages/new.rpm"
rpm -V --nodeps choria
[ "$(rpm -q choria | wc -l)" = 1 ]
rpm -e choria
(cd "$root" && find etc usr var -not -path 'var/lib/rpm*' -not -path 'usr/lib/sysimage*' | sort) > "$packages/after"
diff "$packages/before" "$packages/after"
