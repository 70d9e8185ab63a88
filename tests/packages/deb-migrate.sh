# A computer with the package of go-choria, and the way back.
. /t/lib.sh

step "the package that is replaced"
dpkg -i /t/other.deb > /t/out 2>&1 || { cat /t/out; fail "installation"; }
make_network
mkdir -p /etc/choria/plugin.d
chmod 750 /etc/choria/policies
echo "enabled = true" > /etc/choria/plugin.d/mine.cfg
systemctl enable choria-broker >/dev/null 2>&1
systemctl start choria-broker choria-server
wait_for 10 ask
checksums > /t/operator

step "in place of it"
broker=$(pid choria-broker) server=$(pid choria-server)
dpkg -i /t/new.deb > /t/out 2>&1 || { cat /t/out; fail "upgrade"; }
checksums | diff /t/operator - || fail "the configuration changed"
is "the mode of the operator's folder" "$(stat -c %a /etc/choria/policies)" 750
[ "$(pid choria-broker)" != "$broker" ] || fail "the broker was not restarted"
[ "$(pid choria-server)" != "$server" ] || fail "the server was not restarted"
for unit in choria-broker choria-server; do
    is "$unit" "$(active $unit) $(enabled $unit) $(systemctl show -p Type --value $unit)" "active enabled notify"
    is "the program of $unit" "$(readlink "/proc/$(pid $unit)/exe")" /usr/bin/choria
done
has /etc/logrotate.d/choria copytruncate
wait_for 20 ask

step "the way back"
dpkg -i /t/other.deb > /t/out 2>&1 || { cat /t/out; fail "the way back"; }
checksums | diff /t/operator - || fail "the configuration changed"
for unit in choria-broker choria-server; do
    is "$unit" "$(active $unit) $(enabled $unit) $(systemctl show -p Type --value $unit)" "active enabled simple"
done
[ ! -e /usr/lib/systemd/system/choria-adapt.service ] || fail "a unit was left behind"
wait_for 20 ask

step "a configuration that asks for what is not built"
broker=$(pid choria-broker) server=$(pid choria-server)
echo "plugin.choria.network.stream.store = /var/lib/choria" >> /etc/choria/broker.conf
echo "plugin.choria.machine.store = /etc/choria/machines" >> /etc/choria/server.conf
checksums > /t/operator
dpkg -i /t/new.deb > /t/out 2>&1 || { cat /t/out; fail "upgrade"; }
has /t/out "choria: refused: /etc/choria/broker.conf:6: plugin.choria.network.stream.store is not supported yet"
has /t/out "choria: warning: /etc/choria/server.conf:7: plugin.choria.machine.store is not supported yet"
has /t/out "choria-broker does not start with this"
is "the broker goes on" "$(pid choria-broker) $(active choria-broker)" "$broker active"
[ "$(pid choria-server)" != "$server" ] || fail "the server was not restarted"
checksums | diff /t/operator - || fail "the configuration changed"
wait_for 20 ask
if systemctl restart choria-broker >/dev/null 2>&1; then fail "the broker started"; fi
has /var/log/choria.log "plugin.choria.network.stream.store is not supported yet"

step "configuration that nobody changed, and purge"
dpkg -P choria > /t/out 2>&1 || { cat /t/out; fail "purge"; }
rm -rf /etc/choria /var/log/choria* /var/lib/choria /var/spool/choria
files > /t/before
dpkg -i /t/other.deb > /t/out 2>&1 || { cat /t/out; fail "installation"; }
checksums > /t/operator
dpkg -i /t/new.deb > /t/out 2>&1 || { cat /t/out; fail "upgrade"; }
checksums | diff /t/operator - || fail "the configuration changed"
is "files of dpkg beside it" "$(find /etc -name '*.dpkg-*')" ""
dpkg -P choria > /t/out 2>&1 || { cat /t/out; fail "purge"; }
nothing_left /t/before
