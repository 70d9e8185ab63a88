//! Turns a configuration, the environment and what was switched off into the settings of each part.
//! Nothing below reads a [`Config`](crate::config::Config).

mod access;
pub mod adapt;
mod audit;
mod broker;
mod client;
mod cluster;
mod connection;
mod enroll;
mod federate;
mod outgoing;
mod policy;
mod registration;
mod security;
mod server;
mod signer;
mod tokens;

pub use audit::audit;
pub use broker::{broker, status_pages};
pub use client::rpc_client;
pub use connection::{TokenLogin, connection, inboxes};
pub use enroll::{Enrolment, Wish as EnrolmentWish, enrolment, opened};
pub use federate::{connect_inside, federation, is_collective_local};
pub use outgoing::outgoing;
pub use policy::policies;
pub use security::{provider, security, trust, warn_of_doubts};
pub use server::server;
pub use signer::{Login, login, signer};

use std::fmt;

/// Where `choria ca` has its folder when nothing else is said.
pub const CA_FOLDER: &str = "/etc/choria/ca";

use crate::config::Environment;

/// Why a configuration gives no usable settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// One line in lower case without a final full stop.
    pub message: String,
    /// What to try next, each a line of its own.
    pub hints: Vec<String>,
}

impl Problem {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new() }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// What the command line switched off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Switches {
    /// `--disable-tls`
    pub disable_tls: bool,
    /// `--disable-ssl-verification`
    pub disable_tls_verification: bool,
}

/// What a person has switched off. Every switch that is on is said in the log at every start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Insecure {
    /// Connections in clear: `--disable-tls`, `INSECURE_DISABLE_TLS`, `INSECURE_YES_REALLY`.
    pub no_tls: bool,
    /// Any certificate of the other side is accepted: `--disable-ssl-verification`.
    pub no_verification: bool,
    /// Requests are neither signed nor checked: `INSECURE_YES_REALLY`.
    pub no_protocol_security: bool,
    /// Clients connect as with `plugin.security.client_anon_tls`: `INSECURE_ANON_TLS`.
    pub anonymous_tls: bool,
}

impl Insecure {
    /// What is switched off for this process.
    pub fn of(switches: Switches, env: &Environment) -> Self {
        let really = env.is_true("INSECURE_YES_REALLY");
        Self {
            no_tls: switches.disable_tls || really || env.is_true("INSECURE_DISABLE_TLS"),
            no_verification: switches.disable_tls_verification,
            no_protocol_security: really,
            anonymous_tls: env.is_true("INSECURE_ANON_TLS"),
        }
    }

    /// Says what is off.
    pub fn warn(self) {
        if self.no_tls {
            log::warn!("security: TLS is off, everything is sent in clear");
        }
        if self.no_verification {
            log::warn!("security: certificates of the other side are not verified");
        }
        if self.no_protocol_security {
            log::warn!("security: requests are neither signed nor checked, anybody may send any");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_word_switches_security_off() {
        let cases: [(&[_], _); 7] = [
            (&[], (false, false, false)),
            (&[("INSECURE_DISABLE_TLS", "true")], (true, false, false)),
            (&[("INSECURE_DISABLE_TLS", "1")], (false, false, false)),
            (&[("INSECURE_YES_REALLY", "true")], (true, true, false)),
            (&[("INSECURE_YES_REALLY", "yes")], (false, false, false)),
            (&[("INSECURE_ANON_TLS", "true")], (false, false, true)),
            (&[("INSECURE_ANON_TLS", "yes")], (false, false, false)),
        ];
        for (variables, expected) in cases {
            let env = Environment::fixed(variables, "host");
            let insecure = Insecure::of(Switches::default(), &env);
            let got = (insecure.no_tls, insecure.no_protocol_security, insecure.anonymous_tls);
            assert_eq!(got, expected, "{variables:?}");
        }
        let switches = Switches { disable_tls: true, ..Switches::default() };
        let env = Environment::fixed(&[], "host");
        assert!(Insecure::of(switches, &env).no_tls);
    }
}
