# What the scripts that run inside a root share. They run as root, with the tree of packages in /t.
set -eu
export LC_ALL=C DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin

step() { echo "-- $*"; }
fail() { echo "FAILED: $*"; exit 1; }
is() { [ "$2" = "$3" ] || fail "$1: got '$2' instead of '$3'"; }
has() { grep -qF -- "$2" "$1" || { sed 's/^/   | /' "$1"; fail "$1 does not have: $2"; }; }
lacks() { if grep -qF -- "$2" "$1"; then fail "$1 has: $2"; fi; }

wait_for() { # seconds command...
    left=$(($1 * 5))
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ $left -gt 0 ] || fail "waited in vain for: $*"
        sleep 0.2
    done
}

# Every file of the root, without what belongs to the tests, to running services or to the package database.
files() {
    find / -xdev \( -path /t -o -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /tmp -o -path /var/tmp \
        -o -path /var/lib/dpkg -o -path /var/lib/rpm -o -path /usr/lib/sysimage/rpm -o -path /var/log -o -path /root \
        -o -path /var/lib/systemd -o -path /var/lib/logrotate -o -path /var/cache -o -path /usr/share/mime \) -prune -o -print | sort
    find /var/lib/systemd /var/log /root | grep choria || true
}

# Nothing that was not there before may be there now, nor the other way round.
nothing_left() { # listing-from-before
    files > /t/after
    diff "$1" /t/after || fail "files differ from before the installation"
}

checksums() { find /etc/choria -type f | sort | xargs sha256sum; }
pid() { systemctl show -p MainPID --value "$1"; }
active() { systemctl is-active "$1" 2>/dev/null || true; }
enabled() { systemctl is-enabled "$1" 2>/dev/null || true; }

# The broker has 1,048,576 open files, or as many as this computer lets root have.
has_many_files() { # pid
    if (ulimit -n 1048576) 2>/dev/null; then most=1048576; else most=$(ulimit -H -n); fi
    is "open files of the broker" "$(awk '/^Max open files/ { print $4 }' "/proc/$1/limits")" "$most"
}

# A network with one broker, one server and one person, as an operator sets it up.
make_network() {
    choria ca init >/dev/null 2>&1
    choria ca sign --for broker --out /etc/choria/ssl broker.example.net >/dev/null 2>&1
    choria ca sign --for server --out /etc/choria/ssl web1.example.net >/dev/null 2>&1
    choria ca sign --for client --out /root/ssl alice.mcollective >/dev/null 2>&1
    cat > /etc/choria/broker.conf <<END
# of the operator
logfile = /var/log/choria.log
identity = broker.example.net
plugin.choria.broker_network = true
plugin.choria.ssldir = /etc/choria/ssl
END
    cat > /etc/choria/server.conf <<END
# of the operator
logfile = /var/log/choria.log
identity = web1.example.net
plugin.choria.ssldir = /etc/choria/ssl
plugin.choria.middleware_hosts = broker.example.net:4222
plugin.actionpolicy.enable_default = y
END
    mkdir -p /etc/choria/policies
    printf 'policy default deny\nallow\tchoria=alice.mcollective\t*\t*\t*\n' > /etc/choria/policies/default.policy
    cat > /root/client.conf <<END
plugin.choria.ssldir = /root/ssl
plugin.choria.middleware_hosts = broker.example.net:4222
END
}

# A request of a person, answered by the server, through the broker.
ask() {
    MCOLLECTIVE_CERTNAME=alice.mcollective choria rpc rpcutil ping --config /root/client.conf > /t/answer 2>&1 &&
        grep -q "web1.example.net" /t/answer
}

# The log is lines of JSON.
reloaded() { grep "\"$1\"" /var/log/choria.log | grep -q "reloading the configuration"; }
