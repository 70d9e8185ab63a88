//! The service manager that started this process, such as systemd: it is told when a daemon is ready, reloads or stops, how it
//! does, and, if it asked for that, that it still makes progress. Without such a manager nothing is done.
//!
//! What is said is fixed by `sd_notify(3)`, when by `Type=notify` and `Type=notify-reload` in `systemd.service(5)`.

mod socket;

use std::sync::Arc;
use std::time::{Duration, Instant};

use smol::{Task, Timer};

use crate::cli::context::Context;
use crate::sys;
use socket::Socket;

/// How often it is looked whether there is something new to say.
const LOOK: Duration = Duration::from_secs(1);
/// A line of status longer than this is cut.
const STATUS_MAX: usize = 512;

/// Where to say it; clones say it to the same manager.
#[derive(Debug, Clone)]
pub struct Manager {
    socket: Option<Arc<Socket>>,
    /// Signs of life have to come within this time.
    watchdog: Option<Duration>,
}

/// Says how a daemon does, and that it lives, as long as this exists.
pub struct Reports {
    _task: Option<Task<()>>,
}

/// What a daemon tells about itself.
pub trait Condition: Send + Sync + 'static {
    /// How it does, in one line.
    fn status(&self) -> String;

    /// Whether everything that has to make progress does so. Whoever asks is a task itself, so the executor does.
    fn makes_progress(&self) -> impl Future<Output = bool> + Send {
        std::future::ready(true)
    }
}

impl Manager {
    /// The manager that the environment names.
    pub fn of_environment() -> Manager {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Manager { socket: None, watchdog: None };
        };
        let socket = Socket::open(&name)
            .inspect_err(|error| {
                log::warn!(
                    "cannot reach the service manager at {name:?} in NOTIFY_SOCKET: {error}"
                );
            })
            .ok()
            .map(Arc::new);
        let variable = |name| std::env::var(name).ok();
        let watchdog =
            watchdog(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), std::process::id());
        Manager { socket, watchdog }
    }

    /// The daemon does what it is there for.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// The daemon reads its configuration again; [`Manager::ready`] says when it has.
    pub fn reloading(&self) {
        let micros = sys::monotonic().as_micros();
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The daemon is about to end.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// Says that the daemon is about to end when it is asked to; never done.
    pub async fn say_at_the_end<T>(&self, context: &Context) -> T {
        context.interrupt.wait().await;
        self.stopping();
        smol::future::pending().await
    }

    /// Tells how the daemon does whenever that changes, and gives signs of life if they are wanted.
    pub fn report(&self, context: &Context, condition: impl Condition) -> Reports {
        let task = self.clone().report_for_ever(condition);
        Reports { _task: self.socket.is_some().then(|| context.executor.spawn(task)) }
    }

    async fn report_for_ever(self, condition: impl Condition) {
        // Twice as often as needed, as sd_watchdog_enabled(3) recommends.
        let beat = self.watchdog.map(|limit| limit / 2);
        let pause = beat.map_or(LOOK, |beat| beat.min(LOOK));
        let mut said = String::new();
        let mut lived: Option<Instant> = None;
        loop {
            let status = one_line(&condition.status());
            if status != said {
                self.say(&format!("STATUS={status}"));
                said = status;
            }
            if let Some(beat) = beat
                && lived.is_none_or(|lived| lived.elapsed() + pause > beat)
            {
                match condition.makes_progress().await {
                    true => self.say("WATCHDOG=1"),
                    false => log::error!("no progress: no sign of life for the service manager"),
                }
                lived = Some(Instant::now());
            }
            Timer::after(pause).await;
        }
    }

    fn say(&self, lines: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(lines)
        {
            log::warn!("the service manager was not told {lines:?}: {error}");
        }
    }
}

/// Within which time signs of life are wanted, if they are wanted from this process.
fn watchdog(micros: Option<String>, wanted: Option<String>, own: u32) -> Option<Duration> {
    if wanted.is_some_and(|wanted| wanted.parse() != Ok(own)) {
        return None;
    }
    let micros = micros?.parse().ok().filter(|micros| *micros > 0);
    micros.map(Duration::from_micros)
}

/// A text that is one assignment, whatever is in it.
fn one_line(text: &str) -> String {
    text.chars().take(STATUS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_life_are_for_who_wants_them() {
        let text = |text: &str| Some(text.to_owned());
        let limit = Some(Duration::from_secs(30));
        assert_eq!(watchdog(text("30000000"), None, 7), limit);
        assert_eq!(watchdog(text("30000000"), text("7"), 7), limit);
        for (micros, wanted) in [
            (text("30000000"), text("8")),
            (text("30000000"), text("")),
            (text("0"), None),
            (text("soon"), None),
            (None, text("7")),
        ] {
            assert_eq!(watchdog(micros.clone(), wanted.clone(), 7), None, "{micros:?} {wanted:?}");
        }
    }

    #[test]
    fn who_makes_no_progress_gives_no_sign_of_life() {
        struct Stuck;
        impl Condition for Stuck {
            fn status(&self) -> String {
                "stuck".to_owned()
            }

            async fn makes_progress(&self) -> bool {
                false
            }
        }
        let path = std::env::temp_dir().join(format!("choria-stuck-{}", std::process::id()));
        let receiver = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let socket = Some(Arc::new(Socket::open(path.as_os_str()).unwrap()));
        let manager = Manager { socket, watchdog: Some(Duration::from_millis(20)) };
        let expire = async {
            Timer::after(Duration::from_millis(200)).await;
        };
        smol::block_on(smol::future::or(manager.report_for_ever(Stuck), expire));
        std::fs::remove_file(&path).unwrap();
        receiver.set_nonblocking(true).unwrap();
        let mut buffer = [0; 64];
        let length = receiver.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"STATUS=stuck");
        assert!(receiver.recv(&mut buffer).is_err());
    }

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(one_line("a\nREADY=1\r"), "a READY=1 ");
        assert_eq!(one_line(&"é".repeat(600)).chars().count(), STATUS_MAX);
    }
}
