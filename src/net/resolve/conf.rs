//! `/etc/resolv.conf` and `/etc/hosts`: what is asked, how, and which names need no question. Pure.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Most name servers that are used; more in the file are ignored, as everywhere.
const NAMESERVERS_MAX: usize = 3;
/// Most search domains.
const SEARCH_MAX: usize = 32;
/// Upper bounds of the numeric options, those of the system resolver.
const NDOTS_MAX: u32 = 15;
const TIMEOUT_SECS_MAX: u32 = 30;
const ATTEMPTS_MAX: u32 = 5;

/// What `/etc/resolv.conf` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolvConf {
    pub(super) nameservers: Vec<IpAddr>,
    pub(super) search: Vec<String>,
    pub(super) ndots: u32,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    pub(super) rotate: bool,
}

impl Default for ResolvConf {
    fn default() -> Self {
        Self {
            nameservers: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
        }
    }
}

impl ResolvConf {
    /// Reads the file's text; what is not understood is passed over, as the system resolver does.
    pub(super) fn parse(text: &str) -> Self {
        let mut conf = Self { nameservers: Vec::new(), ..Self::default() };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => conf.add_nameserver(words.next()),
                Some("domain") => conf.search = words.take(1).map(domain).collect(),
                Some("search") => conf.search = words.take(SEARCH_MAX).map(domain).collect(),
                Some("options") => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        if conf.nameservers.is_empty() {
            conf.nameservers = Self::default().nameservers;
        }
        conf
    }

    fn add_nameserver(&mut self, word: Option<&str>) {
        // A zone index (`fe80::1%eth0`) is not supported: such a server is passed over.
        if let Some(Ok(address)) = word.map(str::parse)
            && self.nameservers.len() < NAMESERVERS_MAX
        {
            self.nameservers.push(address);
        }
    }

    fn option(&mut self, word: &str) {
        let number = |text: &str, max: u32| text.parse::<u32>().ok().map(|value| value.min(max));
        match word.split_once(':') {
            Some(("ndots", value)) => {
                self.ndots = number(value, NDOTS_MAX).unwrap_or(self.ndots);
            }
            Some(("timeout", value)) => {
                if let Some(secs) = number(value, TIMEOUT_SECS_MAX) {
                    self.timeout = Duration::from_secs(u64::from(secs.max(1)));
                }
            }
            Some(("attempts", value)) => {
                self.attempts = number(value, ATTEMPTS_MAX).unwrap_or(self.attempts).max(1);
            }
            None if word == "rotate" => self.rotate = true,
            _ => {}
        }
    }

    /// The absolute names to ask for, in order, when the user says `name`.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let dots = name.bytes().filter(|&byte| byte == b'.').count();
        let mut names: Vec<String> = self
            .search
            .iter()
            .filter(|domain| !domain.is_empty())
            .map(|domain| format!("{name}.{domain}"))
            .collect();
        let first = dots >= usize::try_from(self.ndots).unwrap_or(usize::MAX);
        names.insert(if first { 0 } else { names.len() }, name.to_owned());
        names
    }
}

fn domain(word: &str) -> String {
    word.trim_matches('.').to_ascii_lowercase()
}

/// The addresses `/etc/hosts` has for `name`, in the order of the file.
pub(super) fn hosts_lookup(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.trim_end_matches('.');
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
        if words.any(|word| word.trim_end_matches('.').eq_ignore_ascii_case(name))
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_the_file_is_read() {
        let conf = ResolvConf::parse(
            "# comment\nnameserver 10.0.0.1\nnameserver ::1 ; second\nnameserver nonsense\n\
             nameserver 10.0.0.3\nnameserver 10.0.0.4\ndomain ignored.example\n\
             search a.example. B.example\noptions ndots:3 timeout:2 attempts:99 rotate edns0\n",
        );
        assert_eq!(
            conf,
            ResolvConf {
                nameservers: ["10.0.0.1", "::1", "10.0.0.3"].map(|ip| ip.parse().unwrap()).into(),
                search: vec!["a.example".into(), "b.example".into()],
                ndots: 3,
                timeout: Duration::from_secs(2),
                attempts: ATTEMPTS_MAX,
                rotate: true,
            }
        );
        assert_eq!(ResolvConf::parse(""), ResolvConf::default());
        assert_eq!(ResolvConf::parse("options timeout:0 ndots:x").timeout, Duration::from_secs(1));
    }

    #[test]
    fn search_list_order_follows_ndots() {
        let conf = ResolvConf::parse("search a.example b.example\noptions ndots:2\n");
        let check = |name: &str, expected: &[&str]| assert_eq!(conf.candidates(name), expected);
        check("broker", &["broker.a.example", "broker.b.example", "broker"]);
        check("broker.x", &["broker.x.a.example", "broker.x.b.example", "broker.x"]);
        check("b.x.y", &["b.x.y", "b.x.y.a.example", "b.x.y.b.example"]);
        check("broker.", &["broker"]);
    }

    #[test]
    fn hosts_file_names_are_found_case_insensitively() {
        let text =
            "127.0.0.1 localhost\n::1 localhost ip6 # localhost\n#10.0.0.9 b\n10.0.0.1 b B.x";
        let check = |name: &str, expected: &[&str]| {
            let found: Vec<String> =
                hosts_lookup(text, name).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{name}");
        };
        check("LOCALHOST", &["127.0.0.1", "::1"]);
        check("b", &["10.0.0.1"]);
        check("b.x.", &["10.0.0.1"]);
        check("c", &[]);
    }
}
