# A new computer: installation, services under systemd, upgrade, removal, purge.
. /t/lib.sh

step "installation"
files > /t/before
dpkg -i /t/previous.deb > /t/out 2>&1 || { cat /t/out; fail "installation"; }
is "the server is enabled" "$(enabled choria-server)" enabled
for unit in choria-broker choria-federate choria-adapt; do is "$unit" "$(enabled $unit)" disabled; done
for unit in choria-server choria-broker; do is "$unit" "$(active $unit)" inactive; done
is "modes" "$(stat -c '%a %U:%G' /etc/choria/server.conf /etc/choria/broker.conf | sort -u)" "640 root:root"
is "folders" "$(stat -c '%a' /etc/choria/plugin.d /etc/choria/policies /var/lib/choria /var/spool/choria | tr '\n' ' ')" \
    "755 755 755 750 "
lacks /t/out "choria: "
choria --version > /t/out
has /t/out "$(dpkg-query -W -f '${Version}' choria | sed 's/~/-/; s/-[0-9]*$//')"

step "the units"
systemd-analyze --man=no verify /usr/lib/systemd/system/choria-*.service > /t/out 2>&1 || fail "systemd-analyze verify"
lacks /t/out choria
make_network
checksums > /t/operator
systemctl start choria-broker choria-server
wait_for 10 ask
is "the broker" "$(systemctl show -p Type,NotifyAccess,WatchdogUSec --value choria-broker | tr '\n' ' ')" "notify main 1min "
main=$(pid choria-broker)
is "LimitNOFILE" "$(systemctl show -p LimitNOFILE --value choria-broker)" 1048576
has_many_files "$main"
has "/proc/$main/status" "NoNewPrivs:	1"
has "/proc/$main/status" "Seccomp:	2"
has "/proc/$main/status" "CapBnd:	0000000000000404"
has "/proc/$(pid choria-server)/status" "NoNewPrivs:	0"
has "/proc/$(pid choria-server)/status" "$(grep CapBnd /proc/1/status)"
systemctl reload choria-broker choria-server
wait_for 5 reloaded broker
wait_for 5 reloaded server
is "the broker after the reload" "$(pid choria-broker)" "$main"

step "a broker that hangs, and one that dies"
mkdir -p /run/systemd/system/choria-broker.service.d
printf '[Service]\nWatchdogSec=2s\nRestartSec=100ms\n' > /run/systemd/system/choria-broker.service.d/test.conf
systemctl daemon-reload
systemctl restart choria-broker
main=$(pid choria-broker)
sleep 5
is "a broker that is well stays" "$(pid choria-broker)" "$main"
kill -STOP "$main"
wait_for 20 sh -c "! test -e /proc/$main"
wait_for 20 systemctl is-active choria-broker
journalctl -u choria-broker > /t/journal
has /t/journal "Watchdog timeout"
main=$(pid choria-broker)
kill -KILL "$main"
wait_for 10 sh -c "systemctl is-active choria-broker && test \$(systemctl show -p MainPID --value choria-broker) != $main"
rm -r /run/systemd/system/choria-broker.service.d
systemctl daemon-reload
wait_for 20 ask

is "what the server started outlives it" "$(systemctl show -p KillMode --value choria-server)" process

step "federation broker and adapters, confined as well"
cat >> /etc/choria/broker.conf <<END
plugin.choria.federation.cluster = london
plugin.choria.middleware_hosts = broker.example.net:4222
plugin.choria.federation_middleware_hosts = broker.example.net:4222
plugin.choria.adapters = inventory
plugin.choria.adapter.inventory.type = file
plugin.choria.adapter.inventory.ingest.topic = choria.lifecycle.>
plugin.choria.adapter.inventory.ingest.protocol = lifecycle
plugin.choria.adapter.inventory.file.dir = /var/lib/choria/inventory
plugin.choria.adapter.inventory.spool.dir = /var/spool/choria/inventory
END
mkdir -p /var/lib/choria/inventory
sed -i 's/^plugin.choria.adapters.*//' /etc/choria/broker.conf
systemctl start choria-federate
sed -i '$ a plugin.choria.adapters = inventory' /etc/choria/broker.conf
systemctl start choria-adapt
is "federation broker" "$(active choria-federate)" active
is "adapters" "$(active choria-adapt)" active
systemctl restart choria-server
wait_for 20 sh -c 'cat /var/lib/choria/inventory/* | grep -q web1.example.net'
systemctl stop choria-federate choria-adapt
cp /etc/choria/broker.conf /t/broker.conf

step "rotation of the log"
logrotate -f /etc/logrotate.d/choria
test -s /var/log/choria.log.1 || fail "no rotated log"
systemctl reload choria-broker
wait_for 5 test -s /var/log/choria.log

step "upgrade"
checksums > /t/operator
systemctl disable choria-server >/dev/null 2>&1
systemctl enable choria-broker >/dev/null 2>&1
broker=$(pid choria-broker) server=$(pid choria-server)
dpkg -i /t/new.deb > /t/out 2>&1 || { cat /t/out; fail "upgrade"; }
checksums | diff /t/operator - || fail "the configuration changed"
[ "$(pid choria-broker)" != "$broker" ] || fail "the broker was not restarted"
[ "$(pid choria-server)" != "$server" ] || fail "the server was not restarted"
is "what was disabled stays so" "$(enabled choria-server)" disabled
is "what was enabled stays so" "$(enabled choria-broker)" enabled
is "adapters were stopped and stay so" "$(active choria-adapt)" inactive
wait_for 20 ask
dpkg --verify choria > /t/out
lacks /t/out /usr/

step "removal and another installation"
dpkg -r choria > /t/out 2>&1 || { cat /t/out; fail "removal"; }
is "the broker" "$(active choria-broker)" inactive
is "the server" "$(active choria-server)" inactive
[ ! -e /usr/bin/choria ] || fail "the program is still there"
checksums | diff /t/operator - || fail "the configuration changed"
dpkg -i /t/new.deb > /t/out 2>&1 || { cat /t/out; fail "installation"; }
is "what was disabled stays so" "$(enabled choria-server)" disabled
is "what was enabled stays so" "$(enabled choria-broker)" enabled
checksums | diff /t/operator - || fail "the configuration changed"
systemctl start choria-broker choria-server
wait_for 20 ask

step "purge"
dpkg -P choria > /t/out 2>&1 || { cat /t/out; fail "purge"; }
has /t/out "choria: kept what is in /etc/choria"
has /t/out "choria: kept what is in /var/lib/choria"
is "the broker" "$(active choria-broker)" inactive
for kept in /etc/choria/ca/ca.key /etc/choria/ssl/private_keys/web1.example.net.pem /etc/choria/policies/default.policy \
    /var/lib/choria/inventory; do
    [ -e $kept ] || fail "$kept is lost"
done
[ ! -e /etc/choria/server.conf ] || fail "server.conf is still there"
rm -rf /etc/choria /var/lib/choria /var/spool/choria
nothing_left /t/before

step "installation and purge without use"
dpkg -i /t/new.deb > /t/out 2>&1 || { cat /t/out; fail "installation"; }
dpkg -P choria > /t/out 2>&1 || { cat /t/out; fail "purge"; }
nothing_left /t/before
lacks /t/out "choria: kept"
