//! Where a federation broker publishes what others ask it to.
//!
//! Requests and replies name the subjects they are to go to, and the federation broker publishes there with its own
//! rights. Fleet traffic needs few kinds of subjects; all others are refused.

use crate::nats::subject;
use crate::protocol::limits;

/// Whether a request may go there: `<collective>.broadcast.<kind>.<agent>` or `<collective>.node.<identity>`, which is
/// what clients address.
pub fn is_fleet(target: &str) -> bool {
    if !is_sane(target) {
        return false;
    }
    let mut tokens = target.split('.');
    let collective = tokens.next().unwrap_or_default();
    let kind = tokens.next().unwrap_or_default();
    let rest = tokens.count();
    !collective.starts_with(['$', '_'])
        && match kind {
            "broadcast" => rest >= 2,
            "node" => rest >= 1,
            _ => false,
        }
}

/// Whether a reply may go there: anywhere but to servers, to federation brokers and to what belongs to the broker.
/// Usually that is `<collective>.reply.<caller>.<id>`, but callers may have replies sent to other subjects.
pub fn is_reply(target: &str) -> bool {
    let mut tokens = target.split('.');
    let first = tokens.next().unwrap_or_default();
    let second = tokens.next().unwrap_or_default();
    let is_taken = first.starts_with('$')
        || matches!(second, "broadcast" | "node")
        || (first == "choria" && second == "federation");
    is_sane(target) && !is_taken
}

/// A subject to publish on: without wildcards, empty tokens, blanks and control characters, and not too long.
fn is_sane(target: &str) -> bool {
    target.len() <= limits::SUBJECT_BYTES_MAX
        && subject::valid_publish(target.as_bytes())
        && !target.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '*' | '>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_to_servers_only() {
        for target in [
            "mcollective.broadcast.agent.puppet",
            "mcollective.broadcast.service.registry",
            "mcollective.node.n1.example.net",
            "choria.node.n1",
        ] {
            assert!(is_fleet(target), "{target}");
        }
        for target in [
            "",
            "mcollective",
            "mcollective.node",
            "mcollective.node.",
            "mcollective.broadcast.agent",
            "mcollective.broadcast.agent.*",
            "mcollective.broadcast.agent.x*",
            "mcollective.node.>",
            "*.node.n1",
            "mcollective..node.n1",
            "mcollective.node.n 1",
            "mcollective.node.n1\r\nPUB x 0",
            "mcollective.reply.0f.1",
            "choria.federation.mcollective.federation",
            "choria.federation.mcollective.collective",
            "choria.lifecycle.event.startup.server",
            "$SYS.node.x",
            "$JS.broadcast.a.b",
            "_INBOX.node.x",
        ] {
            assert!(!is_fleet(target), "{target}");
        }
        assert!(!is_fleet(&format!("mcollective.node.{}", "x".repeat(limits::SUBJECT_BYTES_MAX))));
    }

    #[test]
    fn replies_go_to_whoever_waits_for_them() {
        for target in ["mcollective.reply.0f.1", "_INBOX.x.y", "custom.results", "results"] {
            assert!(is_reply(target), "{target}");
        }
        for target in [
            "",
            "a.*",
            "a.>",
            "a..b",
            "a b",
            "mcollective.broadcast.agent.puppet",
            "mcollective.node.n1",
            "choria.federation.mcollective.federation",
            "choria.federation.mcollective.collective",
            "$SYS.REQ.SERVER.PING",
            "$JS.API.STREAM.DELETE.x",
        ] {
            assert!(!is_reply(target), "{target}");
        }
    }
}
