//! Running programs: to their end, or in the background with their output in a file.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{DEADLINE, wait_for};

/// What a program that ended left behind.
#[derive(Debug)]
pub struct Finished {
    pub stdout: String,
    pub stderr: String,
    /// The exit code, or 128 + signal.
    pub code: i32,
    pub took: Duration,
}

/// Runs `command` to its end with `input` on standard input; kills it and fails after [`DEADLINE`].
pub fn run(mut command: Command, input: &str) -> Finished {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} cannot start: {error}"));
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    // A program that reads nothing and ends early breaks the pipe: that is its right.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let id = child.id();
    let (done, expired) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let late = expired
            .recv_timeout(DEADLINE * 2)
            .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout);
        if late {
            signal(id, "KILL");
        }
        late
    });
    let output = child.wait_with_output().expect("program can be waited for");
    drop(done);
    assert!(
        !watch.join().expect("watch thread ends"),
        "{command:?} was killed after {:?}",
        DEADLINE * 2
    );
    Finished {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: exit_code(output.status),
        took: start.elapsed(),
    }
}

/// A program in the background; killed when dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with both outputs in the file `log`.
    pub fn start(mut command: Command, log: PathBuf) -> Process {
        let file = File::options().create(true).append(true).open(&log).expect("log can be opened");
        let second = file.try_clone().expect("log handle can be shared");
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(second)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot start: {error}"));
        Process { child, log }
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU time of all its threads so far, and its resident memory in KiB.
    pub fn usage(&self) -> (Duration, u64) {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("it runs");
        // Behind the name of the command, which may hold anything: user and system time in hundredths of a second.
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>());
        let ticks: u64 = ticks.map(|ticks| ticks.expect("a number")).sum();
        (Duration::from_millis(ticks * 10), resident_kib(self.id()))
    }

    /// All that was printed so far.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a line that holds `text` and gives what follows it there.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let output = self.output();
            if let Some(at) = output.find(text) {
                let rest = &output[at + text.len()..];
                if let Some(end) = rest.find('\n') {
                    return rest[..end].to_owned();
                }
            }
            let ended = self.child.try_wait().expect("program can be asked").is_some();
            assert!(
                !ended && start.elapsed() < DEADLINE,
                "no `{text}` in the output (ended: {ended}):\n{output}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for the end and gives the exit code.
    pub fn wait(&mut self) -> i32 {
        wait_for("the program to end", || {
            self.child.try_wait().expect("program can be asked").map(exit_code)
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory of a process, in KiB.
pub fn resident_kib(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let figure = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    figure.expect("resident memory")
}

fn signal(id: u32, name: &str) {
    let done =
        Command::new("kill").args(["-s", name, &id.to_string()]).status().expect("kill runs");
    assert!(done.success(), "signal {name} could not be sent");
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
