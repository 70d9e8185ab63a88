//! `choria demo`: a fleet comes up, can be joined, and leaves nothing behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use super::cli_usage::{choria, command};

/// RSA keys take seconds without optimisation, and other tests run beside this one.
const LIMIT: Duration = Duration::from_secs(60);

/// A demo that is ended with the test.
struct Demo {
    child: Child,
    output: BufReader<ChildStdout>,
    /// Its folder, as it says.
    folder: PathBuf,
}

impl Demo {
    fn start(words: &[&str], temporary: &Path) -> Self {
        let mut child = command(&[&["demo"], words].concat())
            .env("TMPDIR", temporary)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut text = String::new();
        // The instructions come at once when everything is up; the test runner has a time limit.
        while !text.contains("Ctrl-C ends the demo.") {
            assert_ne!(output.read_line(&mut text).expect("text"), 0, "it ended: {text}");
        }
        let (_, rest) = text.split_once("Files are in ").expect("folder");
        let (folder, _) = rest.split_once(". Authorization is off").expect("folder");
        Self { child, output, folder: PathBuf::from(folder) }
    }

    /// Interrupts it as Ctrl-C does and waits for its end.
    fn interrupt(mut self) -> (Option<i32>, PathBuf) {
        signal(&self.child, "INT");
        (wait(&mut self.child), std::mem::take(&mut self.folder))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = &self.output;
    }
}

fn signal(child: &Child, name: &str) {
    let status = std::process::Command::new("kill")
        .args([format!("-{name}"), child.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(status.success());
}

/// The exit code, once it has ended.
fn wait(child: &mut Child) -> Option<i32> {
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        if let Some(status) = child.try_wait().expect("the child is ours") {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the program did not end");
}

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("choria-it-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_demo_comes_up_and_removes_what_it_made() {
    let temporary = Folder::new("demo-temporary");
    let demo = Demo::start(&["--servers", "3"], &temporary.0);
    assert!(demo.folder.starts_with(&temporary.0), "{}", demo.folder.display());
    assert!(demo.folder.join("client.conf").is_file());
    assert_eq!(fs::read_dir(demo.folder.join("servers")).expect("folder").count(), 8);
    let (code, folder) = demo.interrupt();
    assert_eq!(code, Some(0));
    assert!(!folder.exists());
    assert_eq!(fs::read_dir(&temporary.0).expect("folder").count(), 0);
}

#[test]
fn a_server_can_join_a_demo_and_leaves_at_a_signal() {
    let home = Folder::new("demo-join");
    let folder = home.0.join("demo");
    let words = ["--broker-only", "--dir", folder.to_str().expect("text")];
    let demo = Demo::start(&words, &home.0);
    let pid = home.0.join("pid");
    let config = format!("--config={}", folder.join("server.conf").display());
    let mut server = command(&["server", &config, "--pid", pid.to_str().expect("text")])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut log = BufReader::new(server.stdout.take().expect("piped"));
    let mut text = String::new();
    while !text.contains("server: started identity=extra.example.net") {
        assert_ne!(log.read_line(&mut text).expect("text"), 0, "it ended: {text}");
    }
    assert_eq!(fs::read_to_string(&pid).expect("PID file"), server.id().to_string());
    signal(&server, "TERM");
    assert_eq!(wait(&mut server), Some(0));
    assert_eq!(demo.interrupt().0, Some(0));
    assert!(folder.join("ca.pem").is_file(), "a folder that was named stays");
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = Folder::new("demo-used");
    fs::write(folder.0.join("file"), "").expect("file");
    let got = choria(&["demo", "--dir", folder.0.to_str().expect("text")]);
    let expected = format!(
        "choria: folder {} is not empty\nhint: name a folder that does not exist yet\n",
        folder.0.display()
    );
    assert_eq!((got.code, got.stderr), (Some(1), expected));
}

#[test]
fn a_fleet_that_cannot_be_is_refused() {
    let got = choria(&["demo", "-n", "1000000"]);
    assert_eq!(
        (got.code, got.stderr.as_str()),
        (Some(1), "choria: a demo has at most 20000 servers\n")
    );
}
