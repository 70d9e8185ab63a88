# A broker that runs as a user of its own, as as-user/README.md says.
. /t/lib.sh

dpkg -i /t/new.deb > /t/out 2>&1 || { cat /t/out; fail "installation"; }
make_network
folder=/usr/share/choria/as-user
# The commands of the page.
sed -n '/^```sh$/,/^```$/p' $folder/README.md | grep -v '^```' > /t/commands
# What they cannot know: who reads which key.
chown -R choria: /etc/choria/ssl 2>/dev/null || { systemd-sysusers $folder/sysusers.conf && chown -R choria: /etc/choria/ssl; }
sh -e /t/commands || fail "the commands of $folder/README.md"

step "the broker"
systemctl start choria-server
wait_for 10 ask
is "its user" "$(stat -c %U "/proc/$(pid choria-broker)")" choria
has "/proc/$(pid choria-broker)/status" "CapBnd:	0000000000000400"
[ -s /var/log/choria/broker.log ] || fail "there is no log"

step "purge"
dpkg -P choria > /t/out 2>&1 || { cat /t/out; fail "purge"; }
[ -e /etc/choria/ssl ] || fail "certificates are lost"
