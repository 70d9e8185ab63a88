//! The settings of the broker.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use super::access::set_access;
use super::cluster::cluster;
use super::{Insecure, Problem, opened, warn_of_doubts};
use crate::broker::{Settings, TlsFirst, WebSocket};
use crate::config::{Config, Environment};
use crate::security::Use;
use crate::util::duration;

/// The broker that the configuration asks for. Without TLS it listens on loopback only, unless
/// protocol security is off as well and so nobody can expect any.
pub fn broker(
    config: &Config,
    env: &Environment,
    mut insecure: Insecure,
) -> Result<Settings, Problem> {
    if config.network.client_tls_force_required {
        insecure.no_tls = false;
    }
    let mut settings = Settings {
        listen: listen(config, insecure)?,
        websocket: websocket(config, insecure)?,
        server_name: config.identity.clone(),
        advertise: advertise(config)?,
        cluster_name: config.network.gateway_name.clone(),
        tls_timeout: config.network.tls_timeout,
        auth_timeout: config.network.auth_timeout,
        write_deadline: config.network.write_deadline,
        ..limits(config)?
    };
    set_access(&mut settings, config, !insecure.no_tls)?;
    let ip = settings.listen.ip();
    if insecure.no_tls {
        warn_of_clear_text(&settings);
        settings.cluster = cluster(config, ip, None)?;
    } else {
        let provider = opened(config, env, insecure)?;
        warn_of_doubts(&provider, Use::Server, &config.identity);
        let tls = provider
            .server_tls()
            .map_err(|error| Problem::new(format!("TLS is not set up: {error}")))?;
        settings.tls = Some(tls);
        settings.authority = provider.authority().filter(|_| !insecure.no_verification);
        settings.certificate_expires = provider.certificate_expires();
        settings.cluster = cluster(config, ip, Some(&provider))?;
    }
    Ok(settings)
}

fn warn_of_clear_text(settings: &Settings) {
    let address = settings.listen.ip();
    if settings.access.users.is_empty() {
        log::warn!("broker: TLS is off: everybody who reaches {address} has full rights");
    } else {
        log::warn!("broker: TLS is off: passwords and tokens reach {address} in clear");
    }
}

/// The shortest time between PINGs that leaves a peer the time to answer.
const PING_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// The limits that the configuration sets, in otherwise default settings.
fn limits(config: &Config) -> Result<Settings, Problem> {
    let network = &config.network;
    let refuse = |key: &str, reason: &str| {
        let key = format!("plugin.choria.network.{key}");
        Problem::new(format!("{}: {key} {reason}", config.origin(&key)))
    };
    if network.ping_interval < PING_INTERVAL_MIN {
        return Err(refuse("ping_interval", "has to be 10ms or more"));
    }
    if network.lame_duck_grace > network.lame_duck_duration {
        return Err(refuse("lame_duck_grace", "cannot be longer than lame_duck_duration"));
    }
    if network.max_pending < network.max_payload {
        return Err(refuse("max_pending", "has to be room for one message of max_payload"));
    }
    let mut settings = Settings {
        connections_max: network.max_connections,
        subscriptions_max: network.max_subscriptions,
        pending_bytes_max: network.max_pending,
        handshake_threads: network.handshake_threads,
        handshakes_waiting_max: network.handshake_queue,
        handshake_wait: network.handshake_wait,
        tls_verify: network.tls_verify,
        tls_first: tls_first(config)?,
        ping_interval: network.ping_interval,
        pings_max: network.ping_max,
        lame_duck_grace: network.lame_duck_grace,
        lame_duck_duration: network.lame_duck_duration,
        ..Settings::default()
    };
    if network.max_pending_total > 0 {
        settings.waiting_bytes_max = network.max_pending_total;
    }
    settings.pause_bytes = settings.pause_bytes.min(network.max_pending);
    settings.limits.payload_bytes_max = network.max_payload;
    settings.limits.control_line_bytes_max = network.max_control_line;
    Ok(settings)
}

/// The wait of `auto`, as in nats-server.
const TLS_FIRST_AUTO: Duration = Duration::from_millis(50);

fn tls_first(config: &Config) -> Result<TlsFirst, Problem> {
    const KEY: &str = "plugin.choria.network.tls_handshake_first";
    let text = config.network.tls_handshake_first.to_ascii_lowercase();
    match text.as_str() {
        "no" | "false" | "0" | "" => Ok(TlsFirst::No),
        "yes" | "true" | "1" => Ok(TlsFirst::Yes),
        "auto" => Ok(TlsFirst::Unless(TLS_FIRST_AUTO)),
        text => duration::parse(text).map(TlsFirst::Unless).map_err(|_| {
            let reason = "is neither no, yes, auto nor a duration";
            Problem::new(format!("{}: {KEY} = {text} {reason}", config.origin(KEY)))
        }),
    }
}

fn listen(config: &Config, insecure: Insecure) -> Result<SocketAddr, Problem> {
    const KEY: &str = "plugin.choria.network.listen_address";
    let text = &config.network.listen_address;
    let refuse =
        |reason: &str| Problem::new(format!("{}: {KEY} = {text} {reason}", config.origin(KEY)));
    let address =
        address(text).ok_or_else(|| refuse("is neither an address nor a name that has one"))?;
    let is_open = !address.is_loopback() && insecure.no_tls && !insecure.no_protocol_security;
    let address = match (is_open, config.is_set(KEY)) {
        (false, _) => address,
        (true, false) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        (true, true) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        (true, true) => {
            return Err(refuse("is not allowed without TLS, which works on loopback only")
                .hint("listen on 127.0.0.1, or set INSECURE_YES_REALLY=true in a laboratory"));
        }
    };
    Ok(SocketAddr::new(address, config.network.client_port))
}

/// Reads an address, or looks up a name.
fn address(text: &str) -> Option<IpAddr> {
    match text.trim_matches(['[', ']']).parse() {
        Ok(address) => Some(address),
        Err(_) => (text, 0).to_socket_addrs().ok()?.next().map(|found| found.ip()),
    }
}

/// Where status pages are served; nothing when they are off.
pub fn status_pages(config: &Config) -> Result<Option<SocketAddr>, Problem> {
    const KEY: &str = "plugin.choria.stats_address";
    let (text, port) = (&config.choria.stats_address, config.choria.stats_port);
    if port == 0 {
        return Ok(None);
    }
    let found = address(text).ok_or_else(|| {
        let place = config.origin(KEY);
        let reason = "is neither an address nor a name that has one";
        Problem::new(format!("{place}: {KEY} = {text} {reason}"))
    })?;
    Ok(Some(SocketAddr::new(found, port)))
}

/// The host and port told to clients: the public one, else the identity with the client port.
fn advertise(config: &Config) -> Result<Option<(String, u16)>, Problem> {
    const KEY: &str = "plugin.choria.network.public_url";
    let Some(url) = &config.network.public_url else {
        let port = config.network.client_port;
        let known = !config.identity.is_empty() && port != 0;
        return Ok(known.then(|| (config.identity.clone(), port)));
    };
    host_port(config, KEY, url).map(Some)
}

/// The port for WebSockets, on the same address as the one for clients.
fn websocket(config: &Config, insecure: Insecure) -> Result<Option<WebSocket>, Problem> {
    const KEY: &str = "plugin.choria.network.websocket_advertise";
    let network = &config.network;
    let Some(port) = network.websocket_port else { return Ok(None) };
    let mut listen = listen(config, insecure)?;
    listen.set_port(port);
    let advertise = network.websocket_advertise.as_ref();
    let advertise = advertise.map(|url| host_port(config, KEY, url)).transpose()?;
    Ok(Some(WebSocket { listen, advertise, origins: origins(config)? }))
}

/// The web sites whose pages may connect to it.
fn origins(config: &Config) -> Result<Vec<String>, Problem> {
    const KEY: &str = "plugin.choria.network.websocket_origins";
    let origins: Vec<_> =
        config.network.websocket_origins.iter().filter(|origin| !origin.is_empty()).collect();
    let is_origin = |origin: &String| {
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        rest.is_some_and(|host| !host.is_empty() && !host.trim_end_matches('/').contains('/'))
    };
    match origins.iter().find(|origin| !is_origin(origin)) {
        None => Ok(origins.into_iter().cloned().collect()),
        Some(bad) => Err(Problem::new(format!(
            "{}: {KEY} = {bad} has to be http://host[:port] or https://host[:port]",
            config.origin(KEY)
        ))),
    }
}

/// Reads `host:port`, whether there is a scheme before it or not.
fn host_port(config: &Config, key: &str, url: &str) -> Result<(String, u16), Problem> {
    let host_port = url.split_once("://").map_or(url, |(_, rest)| rest);
    host_port
        .trim_end_matches('/')
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host.trim_matches(['[', ']']), port.parse().ok()?)))
        .filter(|(host, _)| !host.is_empty())
        .map(|(host, port)| (host.to_owned(), port))
        .ok_or_else(|| {
            Problem::new(format!("{}: {key} = {url} has to be host:port", config.origin(key)))
        })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Source;
    use std::path::Path;
    use std::sync::atomic::{AtomicU32, Ordering};

    pub(in crate::settings) fn load(name: &str, text: &str) -> Config {
        let env = Environment::fixed(&[], "b1.example.net");
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = format!("choria-broker-{name}-{}-{number}.conf", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, text).unwrap();
        let source = Source::Broker { path: path.clone() };
        let (config, _) = Config::load(&source, &env, Path::new("/")).unwrap();
        std::fs::remove_file(&path).unwrap();
        config
    }

    #[test]
    fn a_broker_without_tls_stays_on_loopback() {
        let tls = Insecure::default();
        let plain = Insecure { no_tls: true, ..tls };
        let really = Insecure { no_protocol_security: true, ..plain };
        let set = |address: &str| format!("plugin.choria.network.listen_address = {address}\n");
        let cases = [
            (tls, String::new(), Some("[::]:4222")),
            (plain, String::new(), Some("127.0.0.1:4222")),
            (really, String::new(), Some("[::]:4222")),
            (plain, set("0.0.0.0"), Some("127.0.0.1:4222")),
            (plain, set("::1"), Some("[::1]:4222")),
            (plain, set("192.0.2.1"), None),
            (really, set("192.0.2.1"), Some("192.0.2.1:4222")),
            (tls, set("192.0.2.1"), Some("192.0.2.1:4222")),
        ];
        for (insecure, text, expected) in cases {
            let got = listen(&load("listen", &text), insecure).ok();
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(got, expected, "{insecure:?} {text}");
        }
    }

    #[test]
    fn tls_may_come_first() {
        for (text, expected) in [
            ("no", Some(TlsFirst::No)),
            ("YES", Some(TlsFirst::Yes)),
            ("auto", Some(TlsFirst::Unless(TLS_FIRST_AUTO))),
            ("300ms", Some(TlsFirst::Unless(Duration::from_millis(300)))),
            ("perhaps", None),
        ] {
            let line = format!("plugin.choria.network.tls_handshake_first = {text}\n");
            assert_eq!(tls_first(&load("first", &line)).ok(), expected, "{text}");
        }
    }

    #[test]
    fn status_pages_are_off_until_they_have_a_port() {
        let cases = [
            ("", Ok(None)),
            ("plugin.choria.stats_address = nonsense.invalid\n", Ok(None)),
            ("plugin.choria.stats_port = 8222\n", Ok(Some("127.0.0.1:8222"))),
            (
                "plugin.choria.stats_port = 8222\nplugin.choria.stats_address = ::1\n",
                Ok(Some("[::1]:8222")),
            ),
            (
                "plugin.choria.stats_port = 8222\nplugin.choria.stats_address = nonsense.invalid\n",
                Err(()),
            ),
        ];
        for (text, expected) in cases {
            let got = status_pages(&load("status", text)).map_err(drop);
            let parse = |address: &str| address.parse().unwrap();
            assert_eq!(got, expected.map(|address| address.map(parse)), "{text}");
        }
    }

    #[test]
    fn limits_are_those_of_the_file() {
        let defaults = limits(&load("defaults", "")).unwrap();
        let expected = Settings::default();
        assert_eq!(defaults.limits, expected.limits);
        assert_eq!(
            (defaults.connections_max, defaults.subscriptions_max, defaults.pending_bytes_max),
            (expected.connections_max, expected.subscriptions_max, expected.pending_bytes_max),
        );
        assert_eq!(
            (defaults.ping_interval, defaults.pings_max, defaults.pause_bytes),
            (expected.ping_interval, expected.pings_max, expected.pause_bytes),
        );
        assert_eq!(
            (defaults.lame_duck_grace, defaults.lame_duck_duration),
            (expected.lame_duck_grace, expected.lame_duck_duration),
        );
        assert_eq!(
            (defaults.handshake_threads, defaults.handshakes_waiting_max, defaults.handshake_wait),
            (expected.handshake_threads, expected.handshakes_waiting_max, expected.handshake_wait),
        );
        let set = |lines: &[&str]| {
            let lines = lines.iter().map(|line| format!("plugin.choria.network.{line}\n"));
            limits(&load("limits", &lines.collect::<String>()))
        };
        let small = set(&["max_payload = 1024", "max_pending = 65536", "ping_interval = 100ms"]);
        let small = small.unwrap();
        assert_eq!((small.limits.payload_bytes_max, small.pause_bytes), (1024, 65536));
        assert_eq!(small.ping_interval, Duration::from_millis(100));
        for (lines, expected) in [
            (&["ping_interval = 1ms"][..], "ping_interval has to be 10ms or more"),
            (&["lame_duck_grace = 3m"], "lame_duck_grace cannot be longer"),
            (&["max_pending = 65536"], "max_pending has to be room"),
        ] {
            let text = set(lines).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn clients_are_told_the_public_address() {
        let public = |url: &str| format!("plugin.choria.network.public_url = {url}\n");
        let cases = [
            (String::new(), Some(("b1.example.net", 4222))),
            (public("b.example:4333"), Some(("b.example", 4333))),
            (public("nats://b.example:4333"), Some(("b.example", 4333))),
            ("plugin.choria.network.client_port = 0\n".to_owned(), None),
        ];
        for (text, expected) in cases {
            let got = advertise(&load("advertise", &text)).unwrap();
            assert_eq!(got, expected.map(|(host, port)| (host.to_owned(), port)), "{text}");
        }
        assert!(advertise(&load("bad", &public("b.example"))).is_err());
    }

    #[test]
    fn web_sockets_have_a_port_of_their_own() {
        let set = |more: &str| format!("plugin.choria.network.websocket_port = 4223\n{more}\n");
        let advertise =
            |url: &str| set(&format!("plugin.choria.network.websocket_advertise = {url}"));
        let origins =
            |list: &str| set(&format!("plugin.choria.network.websocket_origins = {list}"));
        let none: &[&str] = &[];
        let cases = [
            (set(""), None, none),
            (advertise("wss://b.example:443"), Some(("b.example", 443)), none),
            (
                origins("https://a.example, http://b.example:8080"),
                None,
                &["https://a.example", "http://b.example:8080"],
            ),
        ];
        for (text, advertised, allowed) in cases {
            let got = websocket(&load("ws", &text), Insecure::default()).unwrap().unwrap();
            assert_eq!(got.listen, "[::]:4223".parse().unwrap());
            let advertised = advertised.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(got.advertise, advertised);
            assert_eq!(got.origins, allowed);
        }
        for text in [advertise("b.example"), origins("*.example"), origins("https://a.example/x")] {
            assert!(websocket(&load("ws-bad", &text), Insecure::default()).is_err(), "{text}");
        }
        assert!(websocket(&load("ws-off", ""), Insecure::default()).unwrap().is_none());
    }
}
