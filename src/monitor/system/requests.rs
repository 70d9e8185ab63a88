//! Which requests there are, and for whom.

use serde::Deserialize;
use serde_json::Value;

/// The reports that can be asked for by these names.
pub(super) const SERVER_REPORTS: &[&str] = &[
    "IDZ",
    "STATSZ",
    "VARZ",
    "SUBSZ",
    "CONNZ",
    "ROUTEZ",
    "GATEWAYZ",
    "LEAFZ",
    "ACCOUNTZ",
    "JSZ",
    "HEALTHZ",
    "PROFILEZ",
    "EXPVARZ",
    "IPQUEUESZ",
    "RAFTZ",
];
/// Those about one account.
pub(super) const ACCOUNT_REPORTS: &[&str] =
    &["SUBSZ", "CONNZ", "LEAFZ", "JSZ", "INFO", "STATZ", "CONNS"];

/// A request, read from its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted<'s> {
    /// A report of the broker.
    Server(&'s str),
    /// A report about an account.
    Account { account: &'s str, report: &'s str },
    /// The traffic of all accounts.
    AllAccounts,
}

/// What a subject asks for.
pub(super) fn wanted(subject: &str) -> Option<Wanted<'_>> {
    let rest = subject.strip_prefix("$SYS.REQ.")?;
    let words: Vec<&str> = rest.split('.').collect();
    Some(match *words.as_slice() {
        ["SERVER", "PING"] => Wanted::Server("STATSZ"),
        ["SERVER", _, report] => Wanted::Server(report),
        ["ACCOUNT", "PING", "STATZ"] => Wanted::AllAccounts,
        ["ACCOUNT", account, report] => Wanted::Account { account, report },
        _ => return None,
    })
}

/// Which brokers a request is for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    server_name: String,
    cluster: String,
    host: String,
    exact_match: bool,
    tags: Option<Vec<Value>>,
    domain: String,
}

impl Filter {
    /// Whether a broker with this name, cluster and host is meant. None has tags or a domain.
    pub fn fits(&self, name: &str, cluster: &str, host: &str) -> bool {
        let fits = |wanted: &str, have: &str| match self.exact_match {
            true => wanted.is_empty() || wanted == have,
            false => have.contains(wanted),
        };
        fits(&self.server_name, name)
            && fits(&self.cluster, cluster)
            && fits(&self.host, host)
            && self.tags.as_ref().is_none_or(Vec::is_empty)
            && self.domain.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        for (subject, expected) in [
            ("$SYS.REQ.SERVER.PING", Some(Wanted::Server("STATSZ"))),
            ("$SYS.REQ.SERVER.PING.VARZ", Some(Wanted::Server("VARZ"))),
            ("$SYS.REQ.SERVER.NABC.CONNZ", Some(Wanted::Server("CONNZ"))),
            ("$SYS.REQ.ACCOUNT.PING.STATZ", Some(Wanted::AllAccounts)),
            (
                "$SYS.REQ.ACCOUNT.choria.CONNZ",
                Some(Wanted::Account { account: "choria", report: "CONNZ" }),
            ),
            ("$SYS.REQ.SERVER.a.b.c", None),
            ("$SYS.REQ.SERVER", None),
            ("foo", None),
        ] {
            assert_eq!(wanted(subject), expected, "{subject}");
        }
    }

    #[test]
    fn filters() {
        let fits = |json: &str| {
            let filter: Filter = serde_json::from_str(json).expect("json");
            filter.fits("b1.example.net", "CHORIA", "0.0.0.0")
        };
        for (json, expected) in [
            ("{}", true),
            (r#"{"server_name":"b1","limit":5}"#, true),
            (r#"{"server_name":"b1","exact_match":true}"#, false),
            (r#"{"server_name":"b1.example.net","exact_match":true,"tags":[]}"#, true),
            (r#"{"cluster":"OTHER"}"#, false),
            (r#"{"tags":["a"]}"#, false),
            (r#"{"tags":null,"domain":""}"#, true),
            (r#"{"domain":"hub"}"#, false),
        ] {
            assert_eq!(fits(json), expected, "{json}");
        }
    }
}
