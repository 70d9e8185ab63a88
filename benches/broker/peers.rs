//! Which other NATS servers this host has.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Where scripts/test-peers puts them, below the root of the sources.
const INSTALLED: [&str; 2] = ["target/interop/nats-server", "target/interop/venv/bin/nats-server"];
const SYSTEM: [&str; 2] = ["/usr/local/sbin/nats-server", "/usr/sbin/nats-server"];

/// The programs that were asked for, or all installed ones, or the one of the system.
pub fn find(asked: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    if let Some(missing) = asked.iter().find(|program| !program.is_file()) {
        return Err(Failure::Usage(format!("there is no peer {}", missing.display())));
    }
    if !asked.is_empty() {
        return Ok(asked.to_vec());
    }
    let mut found = Vec::new();
    for program in INSTALLED {
        add(&mut found, &Path::new(env!("CARGO_MANIFEST_DIR")).join(program));
    }
    if found.is_empty() {
        let path = env::var_os("PATH").unwrap_or_default();
        let directories = env::split_paths(&path).map(|directory| directory.join("nats-server"));
        if let Some(program) =
            directories.chain(SYSTEM.map(PathBuf::from)).find(|program| program.is_file())
        {
            found.push(program);
        }
    }
    if found.is_empty() {
        return Err(Failure::Usage(
            "no nats-server to compare with: run scripts/test-peers, or give --peer PATH".into(),
        ));
    }
    Ok(found)
}

/// The same program may be installed under two names.
fn add(found: &mut Vec<PathBuf>, program: &Path) {
    if let Ok(program) = fs::canonicalize(program)
        && !found.contains(&program)
    {
        found.push(program);
    }
}
