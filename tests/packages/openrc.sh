# The scripts for OpenRC, in a root that has it. Its network service is not there, so dependencies are left out.
. /t/lib.sh

dpkg -i /t/new.deb > /t/out 2>&1 || { cat /t/out; fail "installation"; }
make_network
for role in server broker federate adapt; do
    cp /usr/share/choria/openrc/choria-$role /etc/init.d/choria-$role
done
mkdir -p /run/openrc
touch /run/openrc/softlevel
service() { rc-service --nodeps "$@" > /t/out 2>&1; }

step "start"
service choria-broker start || { cat /t/out; fail "start of the broker"; }
service choria-server start || { cat /t/out; fail "start of the server"; }
wait_for 10 ask
service choria-broker status || { cat /t/out; fail "status"; }
has /t/out started
broker='^/usr/bin/choria broker run'
main=$(pgrep -f "$broker")
has_many_files "$main"

step "reload"
service choria-broker reload || { cat /t/out; fail "reload"; }
wait_for 5 reloaded broker

step "a broker that dies"
kill -KILL "$main"
wait_for 20 sh -c "pgrep -f '$broker' | grep -qv '^$main\$'"
wait_for 20 ask

step "stop"
service choria-server stop || { cat /t/out; fail "stop"; }
service choria-broker stop || { cat /t/out; fail "stop"; }
[ -z "$(pgrep -x choria)" ] || fail "something runs on"
if service choria-broker status; then fail "status after the stop"; fi

step "a start that is refused"
echo "plugin.choria.network.leafnode_port = 7422" >> /etc/choria/broker.conf
if service choria-broker start; then fail "the broker started"; fi
has /t/out "plugin.choria.network.leafnode_port is not supported yet"
