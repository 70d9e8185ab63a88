//! Asking `facter` for a fact of this machine.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use async_io::Timer;
use smol::future::FutureExt as _;
use smol::process::Command;

/// Where Puppet packages install facter; `PATH` comes next.
const PACKAGED: &str = "/opt/puppetlabs/bin/facter";

/// Longest a fact may take.
const TIME_MAX: Duration = Duration::from_secs(10);

/// The value of a fact such as `networking.domain`, without white space around it.
/// `None` when facter is missing, fails, takes too long or knows no value.
pub async fn fact(name: &str) -> Option<String> {
    let program = if Path::new(PACKAGED).exists() { PACKAGED } else { "facter" };
    let mut command = Command::new(program);
    command.arg(name).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let run = async { command.output().await.ok() };
    let expire = async {
        Timer::after(TIME_MAX).await;
        None
    };
    let output = run.or(expire).await?;
    let text = String::from_utf8(output.stdout).ok()?;
    let value = text.trim();
    (output.status.success() && !value.is_empty()).then(|| value.to_owned())
}
