//! The layer table of `ARCHITECTURE.md`, enforced: an import goes to a lower layer only.

use std::fs;
use std::path::{Path, PathBuf};

/// Module prefix, layer, and modules of the same layer (or above) it may import as well.
/// The first prefix that fits a path decides, so longer prefixes stand first.
const LAYERS: &[(&str, u8)] = &[
    ("util", 0),
    ("sys", 0),
    ("crypto", 0),
    ("logging", 1),
    ("config", 1),
    ("protocol", 2),
    ("ddl", 2),
    ("tokens", 2),
    ("nats::codec", 2),
    ("nats::subject", 2),
    ("security", 3),
    ("policy", 3),
    ("net", 4),
    ("ca", 4),
    ("http", 4),
    ("nats::client", 5),
    ("nats", 5),
    ("enroll", 6),
    ("broker", 7),
    ("adapt", 7),
    ("rpc", 7),
    ("federate", 7),
    ("monitor", 8),
    ("server", 9),
    ("settings", 10),
    ("cli", 11),
    ("api", 11),
];

#[test]
fn imports_go_to_lower_layers_only() {
    let mut faults = Vec::new();
    let mut modules = 0;
    for file in rust_files(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) {
        let Some(module) = module_of(&file) else { continue };
        modules += 1;
        let text = fs::read_to_string(&file).expect("source file is readable");
        for (line, target) in imports(&text) {
            if let Some(fault) = forbidden(&module, &target) {
                faults.push(format!("{}:{line}: {fault}", file.display()));
            }
        }
    }
    assert!(modules > 10, "only {modules} modules were read: the test looks at the wrong folder");
    assert!(faults.is_empty(), "forbidden imports:\n{}", faults.join("\n"));
}

#[test]
fn a_forbidden_import_is_found() {
    assert!(forbidden("util::duration", "protocol::filter").is_some());
    assert!(forbidden("protocol::filter", "security").is_some());
    assert!(forbidden("nats::codec::ops", "nats::client").is_some());
    assert!(forbidden("broker::shard", "rpc").is_some());
    assert!(forbidden("broker::shard", "broker::session").is_none());
    assert!(forbidden("server::agents", "protocol").is_none());
}

/// Says why `from` may not import `to`, or nothing when it may.
fn forbidden(from: &str, to: &str) -> Option<String> {
    let (from_name, from_layer) = layer(from)?;
    let Some((to_name, to_layer)) = layer(to) else {
        return Some(format!("{from} imports {to}, which no layer names"));
    };
    let fine = from_name == to_name
        || to_layer < from_layer
        // `nats::client` and `nats::mod` are one unit; the server uses the client library.
        || (from_name == "nats" && to_name.starts_with("nats"));
    (!fine).then(|| format!("{from} (layer {from_layer}) imports {to} (layer {to_layer})"))
}

fn layer(module: &str) -> Option<(&'static str, u8)> {
    LAYERS
        .iter()
        .filter(|(prefix, _)| {
            module
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        })
        .max_by_key(|(prefix, _)| prefix.len())
        .copied()
}

/// The `crate::` paths a file names outside its tests, with their line numbers.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            break;
        }
        if line.trim_start().starts_with("//") {
            continue;
        }
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            if let Some(list) = rest.strip_prefix('{') {
                found.extend(list.split(',').map(|name| (index + 1, path_of(name.trim()))));
            } else {
                found.push((index + 1, path_of(rest)));
            }
        }
    }
    found.retain(|(_, path)| !path.is_empty());
    found
}

/// The leading `a::b` of an import, at most two segments of lower-case names.
fn path_of(text: &str) -> String {
    let end = text
        .find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == ':'))
        .unwrap_or(text.len());
    text[..end].split("::").filter(|part| !part.is_empty()).take(2).collect::<Vec<_>>().join("::")
}

fn module_of(file: &Path) -> Option<String> {
    let relative = file.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).ok()?;
    let mut parts: Vec<_> = relative
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    (parts != ["lib"] && parts != ["main"]).then(|| parts.join("::"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("source folder is readable") {
        let path = entry.expect("folder entry is readable").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
