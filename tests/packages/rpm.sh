# The same for the rpm, in a Debian root with rpm: new, upgraded, in place of go-choria's, erased.
. /t/lib.sh

step "installation"
# Folders that systems with rpm have.
mkdir -p /etc/sysconfig /usr/share/licenses
files > /t/before
rpm -i --nodeps /t/previous.rpm > /t/out 2>&1 || { cat /t/out; fail "installation"; }
lacks /t/out "choria: "
rpm -V --nodeps choria
is "enabled" "$(enabled choria-server) $(enabled choria-broker) $(active choria-server)" "enabled disabled inactive"
make_network
checksums > /t/operator
systemctl start choria-broker choria-server
wait_for 10 ask

step "upgrade"
broker=$(pid choria-broker) server=$(pid choria-server)
rpm -U --nodeps /t/new.rpm > /t/out 2>&1 || { cat /t/out; fail "upgrade"; }
checksums | diff /t/operator - || fail "the configuration changed"
[ "$(pid choria-broker)" != "$broker" ] || fail "the broker was not restarted"
[ "$(pid choria-server)" != "$server" ] || fail "the server was not restarted"
wait_for 20 ask
rpm -V --nodeps choria > /t/out || true
lacks /t/out /usr/

step "removal"
rpm -e choria > /t/out 2>&1 || { cat /t/out; fail "removal"; }
is "the services" "$(active choria-server) $(active choria-broker)" "inactive inactive"
for file in server.conf.rpmsave broker.conf.rpmsave ca/ca.key ssl/private_keys/web1.example.net.pem policies/default.policy; do
    [ -e /etc/choria/$file ] || fail "/etc/choria/$file is lost"
done
rm -rf /etc/choria /var/log/choria.log
nothing_left /t/before

step "in place of go-choria's"
rpm -i --nodeps /t/other.rpm > /t/out 2>&1 || { cat /t/out; fail "installation"; }
make_network
chmod 750 /etc/choria
echo "CHORIA_SRV_DOMAIN=example.net" >> /etc/sysconfig/choria-server
checksums > /t/operator
systemctl enable choria-broker >/dev/null 2>&1
systemctl enable choria-server >/dev/null 2>&1
systemctl start choria-broker choria-server
wait_for 10 ask
broker=$(pid choria-broker) server=$(pid choria-server)
rpm -U --nodeps /t/new.rpm > /t/out 2>&1 || { cat /t/out; fail "upgrade"; }
checksums | grep -v '\.rpmnew$' | diff /t/operator - || fail "the configuration changed"
is "the mode of the operator's folder" "$(stat -c %a /etc/choria)" 750
has /etc/sysconfig/choria-server CHORIA_SRV_DOMAIN=example.net
for unit in choria-broker choria-server; do
    is "$unit" "$(active $unit) $(enabled $unit) $(systemctl show -p Type --value $unit)" "active enabled notify"
done
tr '\0' '\n' < "/proc/$(pid choria-server)/environ" > /t/out
has /t/out CHORIA_SRV_DOMAIN=example.net
[ "$(pid choria-broker)" != "$broker" ] || fail "the broker was not restarted"
wait_for 20 ask

step "the way back"
rpm -U --nodeps --oldpackage /t/other.rpm > /t/out 2>&1 || { cat /t/out; fail "the way back"; }
checksums | grep -v '\.rpmnew$' | diff /t/operator - || fail "the configuration changed"
for unit in choria-broker choria-server; do
    is "$unit" "$(active $unit) $(systemctl show -p Type --value $unit)" "active simple"
done
wait_for 20 ask

step "a configuration that asks for what is not built"
broker=$(pid choria-broker)
echo "plugin.choria.network.stream.store = /var/lib/choria" >> /etc/choria/broker.conf
rpm -U --nodeps /t/new.rpm > /t/out 2>&1 || { cat /t/out; fail "upgrade"; }
has /t/out "choria: refused: /etc/choria/broker.conf:6: plugin.choria.network.stream.store is not supported yet"
is "the broker goes on" "$(pid choria-broker) $(active choria-broker)" "$broker active"
