//! The made-up servers of a demo: names, facts and classes with the variety of a real fleet.
//! The same number always makes the same server.

use serde_json::{Map, Value, json};

/// One made-up server.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its identity, which is also the name in its certificate.
    pub identity: String,
    /// Its facts.
    pub facts: Map<String, Value>,
    /// Its configuration management classes.
    pub classes: Vec<String>,
}

struct Role {
    name: &'static str,
    classes: &'static [&'static str],
    cores: u64,
    memory_gib: u64,
}

const ROLES: &[Role] = &[
    Role { name: "web", classes: &["nginx", "php"], cores: 4, memory_gib: 8 },
    Role { name: "db", classes: &["postgresql", "backup"], cores: 16, memory_gib: 64 },
    Role { name: "web", classes: &["nginx", "php"], cores: 4, memory_gib: 8 },
    Role { name: "cache", classes: &["redis"], cores: 2, memory_gib: 16 },
    Role { name: "worker", classes: &["sidekiq"], cores: 8, memory_gib: 16 },
    Role { name: "web", classes: &["nginx", "apache"], cores: 4, memory_gib: 8 },
    Role { name: "mail", classes: &["postfix", "backup"], cores: 2, memory_gib: 4 },
];

struct System {
    family: &'static str,
    name: &'static str,
    release: &'static str,
    kernel: &'static str,
}

const SYSTEMS: &[System] = &[
    System { family: "RedHat", name: "AlmaLinux", release: "9.4", kernel: "5.14.0" },
    System { family: "Debian", name: "Debian", release: "12.8", kernel: "6.1.0" },
    System { family: "RedHat", name: "Rocky", release: "8.10", kernel: "4.18.0" },
    System { family: "Debian", name: "Ubuntu", release: "24.04", kernel: "6.8.0" },
    System { family: "Suse", name: "SLES", release: "15.6", kernel: "6.4.0" },
];

struct Site {
    name: &'static str,
    country: &'static str,
    timezone: &'static str,
}

const SITES: &[Site] = &[
    Site { name: "lon", country: "uk", timezone: "Europe/London" },
    Site { name: "fra", country: "de", timezone: "Europe/Berlin" },
    Site { name: "nyc", country: "us", timezone: "America/New_York" },
    Site { name: "mlt", country: "mt", timezone: "Europe/Malta" },
];

/// The server of this number, counted from 0.
pub fn node(number: usize) -> Node {
    let role = &ROLES[number % ROLES.len()];
    let system = &SYSTEMS[number % SYSTEMS.len()];
    let site = &SITES[number % SITES.len()];
    let host = format!("{}{}", role.name, number + 1);
    let domain = format!("{}.example.net", site.name);
    let identity = format!("{host}.{domain}");
    let environment = if number % 5 == 4 { "staging" } else { "production" };
    let (major, minor) = system.release.split_once('.').unwrap_or((system.release, "0"));
    let uptime = 3_600 * (1 + (number as u64 * 37) % 2_400);
    let facts = json!({
        "country": site.country,
        "environment": environment,
        "is_virtual": number % 3 != 1,
        "kernel": "Linux",
        "kernelrelease": system.kernel,
        "memory": { "system": { "total_bytes": role.memory_gib << 30 } },
        "networking": {
            "domain": domain,
            "fqdn": identity,
            "hostname": host,
            "ip": format!("10.{}.{}.{}", number % SITES.len(), number / 250 % 250, number % 250 + 1),
        },
        "os": {
            "architecture": if number.is_multiple_of(6) { "aarch64" } else { "x86_64" },
            "family": system.family,
            "name": system.name,
            "release": { "full": system.release, "major": major, "minor": minor },
        },
        "processors": { "count": role.cores },
        "role": role.name,
        "site": site.name,
        "timezone": site.timezone,
        "uptime_seconds": uptime,
    });
    let mut classes: Vec<String> = ["ntp", "sshd", "choria"].map(str::to_owned).to_vec();
    classes.push(format!("roles::{}", role.name));
    classes.extend(role.classes.iter().map(|class| (*class).to_owned()));
    let Value::Object(facts) = facts else { return Node { identity, facts: Map::new(), classes } };
    Node { identity, facts, classes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_fleet_has_variety_and_no_name_twice() {
        let fleet: Vec<_> = (0..2_000).map(node).collect();
        let names: BTreeSet<_> = fleet.iter().map(|node| &node.identity).collect();
        assert_eq!(names.len(), fleet.len());
        let families: BTreeSet<_> =
            fleet.iter().map(|node| node.facts["os"]["family"].to_string()).collect();
        assert_eq!(families.len(), 3);
        assert_eq!(fleet[0].identity, "web1.lon.example.net");
        assert_eq!(fleet[0], node(0));
        assert!(fleet[0].classes.contains(&"nginx".to_owned()));
    }
}
