//! The crate budget and the reasons in `docs/dependencies.md`.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// Most distinct crates the default build may have, build-time ones included, our own not counted.
const CRATES_MAX: usize = 140;

#[test]
fn the_default_build_stays_within_the_crate_budget() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "-e", "normal,build", "--prefix", "none", "--no-dedupe"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo tree runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let crates: BTreeSet<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
        .filter(|name| !name.is_empty() && !name.starts_with("choria "))
        .collect();
    assert!(crates.len() > 20, "cargo tree printed only {} crates", crates.len());
    assert!(
        crates.len() <= CRATES_MAX,
        "{} crates, at most {CRATES_MAX}: {crates:?}",
        crates.len()
    );
    for banned in ["tokio ", "openssl-sys ", "aws-lc-sys ", "native-tls "] {
        assert!(!crates.iter().any(|name| name.starts_with(banned)), "{banned}is banned");
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let manifest = fs::read_to_string(format!("{root}Cargo.toml")).expect("manifest is readable");
    let reasons =
        fs::read_to_string(format!("{root}docs/dependencies.md")).expect("docs are readable");
    let mut in_dependencies = false;
    let mut seen = 0;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        } else if in_dependencies && let Some((name, _)) = line.split_once(" = ") {
            seen += 1;
            assert!(reasons.contains(name), "docs/dependencies.md does not say why {name} is here");
        }
    }
    assert!(seen > 10, "only {seen} dependencies were read");
}
