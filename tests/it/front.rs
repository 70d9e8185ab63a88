//! `scripts/nats-server`: the broker in the shape of nats-server, for suites that start one.

use std::process::Command;

use super::support::{Folder, Pki, peers, program, run};

#[test]
fn nats_py_takes_the_front_for_a_nats_server() {
    let folder = Folder::new("front");
    let pki = Pki::shared();
    let leaf = pki.leaf("localhost");
    let root = env!("CARGO_MANIFEST_DIR");
    let mut command = Command::new(peers().join("venv/bin/python"));
    command
        .arg(format!("{root}/testdata/interop/nats_py_front.py"))
        .arg(format!("{root}/scripts/nats-server"))
        .arg(folder.file(""))
        .args([&pki.ca, &leaf.certificate, &leaf.key])
        .env("CHORIA", program());
    let finished = run(command, "");
    assert!(finished.stdout.ends_with("all flows passed\n"), "{finished:#?}");
}
