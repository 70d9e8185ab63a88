//! What the table of commands does not say about a command: whose configuration it reads, which files it has, and what
//! more there is to say.

use crate::config::{CLIENT_FILES, Role, VARIABLES, keys};

/// What more there is to say about a command of this name.
pub struct About {
    command: &'static str,
    /// Whose configuration it reads.
    pub roles: &'static [Role],
    /// A text in the marks of [`super::markup`]: what belongs to its description, then sections of its own.
    pub text: &'static str,
    /// Pages about commands that are used with it.
    pub related: &'static [&'static str],
}

const CLIENT: &[Role] = &[Role::Client];
const BROKER: &[Role] = &[Role::Broker];
const SERVER: &[Role] = &[Role::Server];

macro_rules! about {
    ($command:literal, $roles:expr, $text:expr, $($related:literal),*) => {
        About { command: $command, roles: $roles, text: $text, related: &[$($related),*] }
    };
}

const TABLE: &[About] = &[
    about!("rpc", CLIENT, include_str!("texts/rpc.md"), "choria-find(1)", "choria-ping(1)"),
    about!("ping", CLIENT, "", "choria-find(1)", "choria-rpc(1)"),
    about!("find", CLIENT, "", "choria-ping(1)", "choria-rpc(1)"),
    about!("facts", CLIENT, "", "choria-find(1)", "choria-inventory(1)"),
    about!("inventory", CLIENT, "", "choria-facts(1)", "choria-rpc(1)"),
    about!(
        "demo",
        &[],
        include_str!("texts/demo.md"),
        "choria-broker(1)",
        "choria-rpc(1)",
        "choria-server(1)"
    ),
    about!(
        "server",
        SERVER,
        include_str!("texts/server.md"),
        "choria-broker(1)",
        "choria-policy(1)",
        "choria-tool(1)"
    ),
    about!(
        "broker",
        BROKER,
        include_str!("texts/broker.md"),
        "choria-adapt(1)",
        "choria-ca(1)",
        "choria-federate(1)"
    ),
    about!("federate", BROKER, include_str!("texts/federate.md"), "choria-broker(1)"),
    about!("adapt", BROKER, include_str!("texts/adapt.md"), "choria-broker(1)"),
    about!("enroll", CLIENT, include_str!("texts/enroll.md"), "choria-ca(1)"),
    about!("ca", &[], include_str!("texts/ca.md"), "choria-broker(1)", "choria-enroll(1)"),
    about!("login", CLIENT, include_str!("texts/login.md"), "choria-jwt(1)"),
    about!("jwt", &[], include_str!("texts/jwt.md"), "choria-login(1)"),
    about!(
        "policy",
        &[Role::Server, Role::Client],
        include_str!("texts/policy.md"),
        "choria-server(1)"
    ),
    about!(
        "tool",
        &[Role::Client, Role::Server, Role::Broker],
        include_str!("texts/tool.md"),
        "choria-server(1)"
    ),
];

/// What there is to say about a command; nothing is said about one that is not in the table.
pub fn about(command: &str) -> Option<&'static About> {
    TABLE.iter().find(|about| about.command == command)
}

impl About {
    /// The part of the text that belongs to the description, and the sections.
    pub fn parts(&self) -> (&'static str, &'static str) {
        match self.text.find("# ") {
            Some(0) => ("", self.text),
            Some(_) => {
                let at = self.text.find("\n# ").map_or(self.text.len(), |at| at + 1);
                self.text.split_at(at)
            }
            None => (self.text, ""),
        }
    }
}

/// The page about the configuration of a role.
pub fn configuration_page(role: Role) -> &'static str {
    match role {
        Role::Broker => "choria-broker.conf(5)",
        Role::Client => "choria-client.conf(5)",
        Role::Server => "choria-server.conf(5)",
    }
}

/// Environment variables that these roles look at, with their meanings; those of keys last.
pub fn variables(roles: &[Role]) -> Vec<(&'static str, String)> {
    let is_for = |of: &[Role]| roles.iter().any(|role| of.contains(role));
    let own = VARIABLES.iter().filter(|variable| is_for(variable.roles));
    let mut found: Vec<_> = own.map(|own| (own.name, format!("{}.", own.meaning))).collect();
    for key in keys::all().filter(|key| is_for(keys::roles(key))) {
        if let Some(name) = key.env {
            found.push((
                name,
                format!("Wins over the key `{}`: {}.", key.name, lower(key.description)),
            ));
        }
    }
    found
}

/// Whether a variable is one of data adapters only, which few have.
pub fn is_of_adapters(name: &str) -> bool {
    name.starts_with("AWS_")
}

/// A sentence that goes on in the middle of another one.
pub fn lower(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        // A word in capital letters is one anywhere.
        (Some(first), second) if !second.is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// Files that these roles read, with what they are.
pub fn files(roles: &[Role]) -> Vec<(String, &'static str)> {
    let mut found: Vec<(String, &str)> = Vec::new();
    for role in roles {
        match role {
            Role::Client => {
                found.push((CLIENT_FILES.join(", "), "The configuration of a client: the first that exists, unless --config names another."));
                found.push(("choria.conf".to_owned(), "Settings of a project, in the current folder and those above it; they win over the file of the client."));
            }
            Role::Server => found.push((
                "/etc/choria/server.conf".to_owned(),
                "The usual place of the configuration of a server; --config names it.",
            )),
            Role::Broker => found.push((
                "/etc/choria/broker.conf".to_owned(),
                "The usual place of the configuration of a broker; --config names it.",
            )),
        }
    }
    if !found.is_empty() {
        found.push((
            "plugin.d/*.cfg".to_owned(),
            "Beside that file: keys of plugins, and in choria.cfg those of Choria.",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::COMMANDS;

    #[test]
    fn something_is_said_about_every_command() {
        for command in COMMANDS {
            assert!(about(command.name).is_some(), "{}", command.name);
        }
        assert_eq!(TABLE.len(), COMMANDS.len());
    }

    #[test]
    fn texts_are_divided_at_their_first_section() {
        let parts = |text| About { command: "x", roles: &[], text, related: &[] }.parts();
        assert_eq!(parts("one\n"), ("one\n", ""));
        assert_eq!(parts("# A\nb\n"), ("", "# A\nb\n"));
        assert_eq!(parts("one\n\n# A\nb\n"), ("one\n\n", "# A\nb\n"));
        assert_eq!(lower("The name"), "the name");
        assert_eq!(lower("NATS file"), "NATS file");
    }
}
