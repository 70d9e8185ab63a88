# Without systemd as the first process: the SysV scripts.
. /t/lib.sh

step "installation"
files > /t/before
dpkg -i /t/new.deb > /t/out 2>&1 || { cat /t/out; fail "installation"; }
make_network
for name in server broker; do
    status=0
    /etc/init.d/choria-$name status >/dev/null || status=$?
    is "status of choria-$name" $status 3
done
is "links of the server" "$(find /etc/rc2.d -name 'S*choria-*' | sed 's/.*S[0-9]*//')" choria-server

update-rc.d choria-broker enable
# No init runs here that could tell.
mv /usr/sbin/runlevel /t/runlevel
printf '#!/bin/sh\necho N 2\n' > /usr/sbin/runlevel
chmod 755 /usr/sbin/runlevel

step "start"
/etc/init.d/choria-broker start
/etc/init.d/choria-server start
wait_for 10 ask
/etc/init.d/choria-broker status
has_many_files "$(cat /run/choria-broker.pid)"
/etc/init.d/choria-broker reload
wait_for 5 reloaded broker
before=$(cat /run/choria-broker.pid)
/etc/init.d/choria-broker restart
[ "$(cat /run/choria-broker.pid)" != "$before" ] || fail "the broker was not restarted"
wait_for 20 ask

step "upgrade"
before=$(cat /run/choria-broker.pid)
dpkg -i /t/newer.deb > /t/out 2>&1 || { cat /t/out; fail "upgrade"; }
[ "$(cat /run/choria-broker.pid)" != "$before" ] || { cat /t/out; fail "the broker was not restarted"; }
wait_for 20 ask

step "a start that is refused"
/etc/init.d/choria-broker stop
echo "plugin.choria.network.leafnode_port = 7422" >> /etc/choria/broker.conf
if /etc/init.d/choria-broker start > /t/out 2>&1; then fail "the broker started"; fi
has /t/out "plugin.choria.network.leafnode_port is not supported yet"

step "removal"
main=$(cat /run/choria-server.pid)
dpkg -P choria > /t/out 2>&1 || { cat /t/out; fail "purge"; }
[ ! -e "/proc/$main" ] || fail "the server runs on"
rm -rf /etc/choria
mv /t/runlevel /usr/sbin/runlevel
nothing_left /t/before
