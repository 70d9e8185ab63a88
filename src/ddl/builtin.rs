//! Descriptions of the agents every server of the reference carries, compiled into the program. They win over files.

use std::sync::OnceLock;

use super::Agent;

const DOCUMENTS: &[(&str, &str)] = &[
    ("choria_policy", include_str!("agents/choria_policy.json")),
    ("choria_util", include_str!("agents/choria_util.json")),
    ("rpcutil", include_str!("agents/rpcutil.json")),
    ("scout", include_str!("agents/scout.json")),
];

/// The description of a built-in agent.
pub fn agent(name: &str) -> Option<&'static Agent> {
    parsed().iter().find(|agent| agent.metadata.name == name)
}

/// The names of all built-in agents that have a description.
pub fn names() -> impl Iterator<Item = &'static str> {
    DOCUMENTS.iter().map(|(name, _)| *name)
}

/// The JSON text of a built-in description.
pub fn document(name: &str) -> Option<&'static str> {
    DOCUMENTS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

fn parsed() -> &'static [Agent] {
    static PARSED: OnceLock<Vec<Agent>> = OnceLock::new();
    // A document that does not parse would be left out here; the test below proves that none is.
    PARSED.get_or_init(|| {
        DOCUMENTS.iter().filter_map(|(_, text)| Agent::parse(text.as_bytes()).ok()).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_parses_and_bears_its_name() {
        for name in names() {
            let agent = agent(name).unwrap_or_else(|| panic!("{name} does not parse"));
            assert_eq!(agent.metadata.name, name);
            assert!(document(name).is_some());
        }
        assert!(agent("nosuch").is_none());
        let actions = |name: &str| {
            agent(name).unwrap().actions.iter().map(|a| a.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            actions("scout"),
            ["checks", "goss_validate", "maintenance", "resume", "trigger"]
        );
    }
}
