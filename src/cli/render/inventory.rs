//! What `inventory` prints: all about one node, or the collectives of many.

use std::collections::BTreeMap;

use serde_json::Value;

use super::columns::{aligned, down};
use super::style::printable;
use super::table::Table;
use super::value::{Layout, plain, pretty};
use crate::util::time;

/// Everything known about one node: the data of `rpcutil#inventory` and, when it answered, `rpcutil#daemon_stats`.
pub fn node(identity: &str, inventory: &Value, statistics: &Value, facts: bool) -> String {
    let mut out = format!("Inventory for {identity}\n\n  Choria Server Statistics:\n\n");
    for (label, value) in server_lines(inventory, statistics) {
        out.push_str(&format!("{label:>27}: {}\n", printable(&value)));
    }
    out.push_str("\n  Agents:\n\n");
    out.push_str(&down(&names(&inventory["agents"]), 3, 15));
    out.push_str("\n  Tagged Classes:\n\n");
    out.push_str(&down(&names(&inventory["classes"]), 2, 0));
    out.push('\n');
    let machines = machines(&inventory["machines"]);
    if !machines.is_empty() {
        out.push_str(&format!("  Autonomous Agents:\n\n{}\n", aligned(&machines)));
    }
    if facts {
        let layout = Layout { prefix: "    ", indent: "  ", width: 0 };
        out.push_str(&format!("  Facts:\n\n    {}\n\n", pretty(&inventory["facts"], layout)));
    }
    out
}

fn server_lines(inventory: &Value, statistics: &Value) -> Vec<(&'static str, String)> {
    let mut version = plain(&inventory["version"]);
    if inventory["upgradable"] == Value::Bool(true) {
        version.push_str(" (upgradable during provisioning)");
    }
    let started = statistics["starttime"].as_i64().map(utc);
    let mut lines = vec![
        ("Version", version),
        ("Start Time", started.unwrap_or_default()),
        ("Config File", plain(&statistics["configfile"])),
        ("Collectives", names(&inventory["collectives"]).join(", ")),
        ("Main Collective", plain(&inventory["main_collective"])),
    ];
    for (label, key) in [
        ("Process ID", "pid"),
        ("Total Messages", "total"),
        ("Messages Passed Filters", "passed"),
        ("Messages Filtered", "filtered"),
        ("Expired Messages", "ttlexpired"),
        ("Replies Sent", "replies"),
        ("Events Published", "events"),
    ] {
        lines.push((label, plain(&statistics[key])));
    }
    lines
}

/// A moment in the form the reference prints it.
fn utc(secs: i64) -> String {
    time::rfc3339(time::from_unix(secs)).replace('T', " ").replace('Z', " +0000 UTC")
}

/// The texts of a list, sorted.
fn names(list: &Value) -> Vec<String> {
    let mut names: Vec<String> =
        list.as_array().into_iter().flatten().map(|item| printable(&plain(item))).collect();
    names.sort();
    names
}

fn machines(list: &Value) -> Vec<Vec<String>> {
    let row = |machine: &Value| {
        ["name", "version", "state"].iter().map(|key| printable(&plain(&machine[*key]))).collect()
    };
    list.as_array().into_iter().flatten().map(row).collect()
}

/// How many nodes are in each collective, largest first.
pub fn collectives(nodes: usize, members: &BTreeMap<String, usize>) -> String {
    let mut table =
        Table::new(["Collective", "Nodes"]).titled(format!("Collective Report for {nodes} nodes"));
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (name, count) in sorted {
        table.row([printable(name), count.to_string()]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_with_everything() {
        let inventory = json!({
            "version": "1.0.0", "collectives": ["mcollective", "eu"], "main_collective": "mcollective",
            "agents": ["rpcutil", "discovery", "choria_util", "service"], "classes": ["web"],
            "machines": [{"name": "m", "version": "1.0.0", "state": "RUN"}], "facts": {"b": [1], "a": {"x": true}},
            "upgradable": true});
        let statistics = json!({
            "starttime": 1_767_348_000, "configfile": "/etc/choria/server.conf", "pid": 12, "total": 5, "passed": 4,
            "filtered": 1, "ttlexpired": 0, "replies": 4, "events": 2});
        assert_eq!(
            node("n1", &inventory, &statistics, true),
            "Inventory for n1\n\
             \n\
             \x20 Choria Server Statistics:\n\
             \n\
             \x20                   Version: 1.0.0 (upgradable during provisioning)\n\
             \x20                Start Time: 2026-01-02 10:00:00 +0000 UTC\n\
             \x20               Config File: /etc/choria/server.conf\n\
             \x20               Collectives: eu, mcollective\n\
             \x20           Main Collective: mcollective\n\
             \x20                Process ID: 12\n\
             \x20            Total Messages: 5\n\
             \x20   Messages Passed Filters: 4\n\
             \x20         Messages Filtered: 1\n\
             \x20          Expired Messages: 0\n\
             \x20              Replies Sent: 4\n\
             \x20          Events Published: 2\n\
             \n\
             \x20 Agents:\n\
             \n\
             \x20   choria_util     rpcutil\n\
             \x20   discovery       service\n\
             \n\
             \x20 Tagged Classes:\n\
             \n\
             \x20   web\n\
             \n\
             \x20 Autonomous Agents:\n\
             \n\
             \x20   m    1.0.0    RUN\n\
             \n\
             \x20 Facts:\n\
             \n\
             \x20   {\n\
             \x20     \"a\": {\n\
             \x20       \"x\": true\n\
             \x20     },\n\
             \x20     \"b\": [\n\
             \x20       1\n\
             \x20     ]\n\
             \x20   }\n\
             \n"
        );
    }

    #[test]
    fn collectives_by_size() {
        let members = BTreeMap::from([("eu".to_string(), 1), ("mcollective".to_string(), 12)]);
        assert_eq!(
            collectives(12, &members),
            "╭────────────────────────────────╮\n\
             │ Collective Report for 12 nodes │\n\
             ├─────────────┬──────────────────┤\n\
             │ Collective  │ Nodes            │\n\
             ├─────────────┼──────────────────┤\n\
             │ mcollective │ 12               │\n\
             │ eu          │ 1                │\n\
             ╰─────────────┴──────────────────╯\n"
        );
    }
}
