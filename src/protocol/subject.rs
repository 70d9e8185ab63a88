//! NATS subjects of fleet traffic, federation and events.
//!
//! Receivers treat reply subjects as opaque: a server publishes to exactly what the request says.

use crate::crypto::hash;

/// Broadcast to every server of `collective` that hosts `agent`.
pub fn broadcast_agent(collective: &str, agent: &str) -> String {
    format!("{collective}.broadcast.agent.{agent}")
}

/// One of the servers that offer `agent` as a service; subscribe with the agent name as queue group.
pub fn service_agent(collective: &str, agent: &str) -> String {
    format!("{collective}.broadcast.service.{agent}")
}

/// Directed to one server.
pub fn node(collective: &str, identity: &str) -> String {
    format!("{collective}.node.{identity}")
}

/// Replies to request `id` of `caller`.
pub fn reply(collective: &str, caller: &str, id: &str) -> String {
    format!("{collective}.reply.{}.{id}", hash::md5_hex(caller.as_bytes()))
}

/// Prefix of a process's NATS inboxes: with `caller` when it connects with a token, else without.
pub fn inbox_prefix(main_collective: &str, caller: Option<&str>) -> String {
    match caller {
        Some(caller) => format!("{main_collective}.reply.{}", hash::md5_hex(caller.as_bytes())),
        None => format!("{main_collective}.reply"),
    }
}

/// Clients publish here; federation brokers of `cluster` share the queue group
/// [`federation_queue`].
pub fn federation(cluster: &str) -> String {
    format!("choria.federation.{cluster}.federation")
}

/// Queue group on [`federation`].
pub fn federation_queue(cluster: &str) -> String {
    format!("{cluster}_federation")
}

/// Replies from a federated collective go here; queue group [`federation_collective_queue`].
pub fn federation_collective(cluster: &str) -> String {
    format!("choria.federation.{cluster}.collective")
}

/// Queue group on [`federation_collective`].
pub fn federation_collective_queue(cluster: &str) -> String {
    format!("{cluster}_collective")
}

/// A lifecycle event: `kind` such as `startup`, `component` such as `server`.
pub fn lifecycle_event(kind: &str, component: &str) -> String {
    format!("choria.lifecycle.event.{kind}.{component}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        for (subject, expected) in [
            (broadcast_agent("mcollective", "rpcutil"), "mcollective.broadcast.agent.rpcutil"),
            (service_agent("eu", "registry"), "eu.broadcast.service.registry"),
            (node("mcollective", "n1.example.net"), "mcollective.node.n1.example.net"),
            (
                reply("mcollective", "up=alice", "X"),
                "mcollective.reply.9ff94a8781520105e44481be68e5d47f.X",
            ),
            (inbox_prefix("mcollective", None), "mcollective.reply"),
            (
                inbox_prefix("mcollective", Some("node1.example.net")),
                "mcollective.reply.17bcfb8c80731d07482059628cf13848",
            ),
            (federation("dc1"), "choria.federation.dc1.federation"),
            (federation_queue("dc1"), "dc1_federation"),
            (federation_collective("dc1"), "choria.federation.dc1.collective"),
            (federation_collective_queue("dc1"), "dc1_collective"),
            (lifecycle_event("alive", "server"), "choria.lifecycle.event.alive.server"),
        ] {
            assert_eq!(subject, expected);
        }
    }

    #[test]
    fn reply_subjects_have_four_tokens_for_any_caller() {
        for caller in ["up=alice", "okta=a.b@example.net", "", "node.with.dots"] {
            let subject = reply("mcollective", caller, &crate::crypto::random::request_id());
            assert_eq!(subject.split('.').count(), 4, "{subject}");
        }
    }
}
