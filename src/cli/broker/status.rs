//! `choria broker status`: judges a running broker by its status pages, for monitoring systems.

use std::io::Write;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use serde::{Deserialize, Serialize};

use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::config::{Config, Source};
use crate::http::Base;
use crate::settings;
use crate::util::duration;

/// Check the health of a running broker by its status pages, and print one line. Without --url the broker of the file
/// named with --config is asked, on this computer.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "{command_name} --config /etc/choria/broker.conf\n{command_name} --url http://127.0.0.1:8222 --routes 2 --connections 45000 --json",
    note = "Exit codes:\n\
        0 all is well\n\
        1 something is not, the first of which is told"
)]
pub struct CheckBroker {
    /// where the status pages are, http://host:port
    #[argh(option, arg_name = "url")]
    url: Option<String>,
    /// the most connections there may be
    #[argh(option, arg_name = "number")]
    connections: Option<u64>,
    /// how many other brokers of the cluster have to be connected at least
    #[argh(option, arg_name = "number")]
    routes: Option<u64>,
    /// the shortest time it must have been running, such as 5m
    #[argh(option, arg_name = "time", from_str_fn(length))]
    uptime: Option<Duration>,
    /// how long it has for an answer, 5s by default
    #[argh(option, arg_name = "time", default = "TIMEOUT", from_str_fn(length))]
    timeout: Duration,
    /// print the result as JSON
    #[argh(switch)]
    json: bool,
}

const TIMEOUT: Duration = Duration::from_secs(5);

fn length(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|error| error.to_string())
}

/// The parts of `/healthz` that are judged.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Health {
    status: String,
    error: String,
}

/// The parts of `/varz` that are judged or shown.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
struct Varz {
    server_name: String,
    version: String,
    uptime: String,
    connections: u64,
    total_connections: u64,
    remotes: u64,
    subscriptions: u64,
    slow_consumers: u64,
    mem: u64,
    cpu: f64,
}

/// What is printed with `--json`.
#[derive(Debug, Serialize)]
struct Verdict<'v> {
    url: String,
    healthy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'v str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<&'v Varz>,
}

impl Subcommand for CheckBroker {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let base = self.base(context)?;
        let found = self.ask(&base).await;
        let outcome = found.as_ref().map_err(Clone::clone).and_then(|varz| self.check(varz));
        let exit = if outcome.is_ok() { Exit::Success } else { Exit::Failed };
        let reason = outcome.as_ref().err().map(String::as_str);
        let mut out = std::io::stdout();
        if self.json {
            let healthy = outcome.is_ok();
            let broker = found.as_ref().ok();
            let verdict = Verdict { url: base.to_string(), healthy, reason, broker };
            let text = serde_json::to_string_pretty(&verdict);
            writeln!(out, "{}", text.map_err(|error| Failure::new(error.to_string()))?)?;
        } else {
            writeln!(out, "{base} {}", reason.unwrap_or("OK"))?;
        }
        Ok(exit)
    }
}

impl CheckBroker {
    fn base(&self, context: &Context) -> Result<Base, Failure> {
        if let Some(url) = &self.url {
            return Base::parse(url).map_err(|error| Failure::new(error.to_string()));
        }
        let path = context.globals.config.clone().ok_or_else(|| {
            Failure::new("which broker is not known")
                .hint("choria broker status --url http://127.0.0.1:8222")
                .hint("choria broker status --config FILE")
        })?;
        let cwd = std::env::current_dir().unwrap_or_default();
        let (config, _) = Config::load(&Source::Broker { path }, &context.environment(), &cwd)
            .map_err(|error| Failure::new(error.to_string()))?;
        let address = settings::status_pages(&config)?.ok_or_else(|| {
            Failure::new("the broker serves no status pages")
                .hint("set plugin.choria.stats_port = 8222 in its configuration")
        })?;
        let mut address = address;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        Base::parse(&address.to_string()).map_err(|error| Failure::new(error.to_string()))
    }

    /// What the broker says about itself; the reason when it is not well.
    async fn ask(&self, base: &Base) -> Result<Varz, String> {
        let health = base.get("/healthz", self.timeout).await;
        let (status, body) = health.map_err(|error| format!("cannot be asked: {error}"))?;
        let health: Health = serde_json::from_slice(&body).unwrap_or_default();
        if status != 200 || health.status != "ok" {
            let reason = [health.error, health.status].into_iter().find(|text| !text.is_empty());
            let reason = reason.unwrap_or_else(|| format!("status {status}"));
            return Err(format!("is not healthy: {reason}"));
        }
        let varz = base.get("/varz", self.timeout).await;
        let (_, body) = varz.map_err(|error| format!("cannot be asked: {error}"))?;
        serde_json::from_slice(&body).map_err(|error| format!("answers something else: {error}"))
    }

    /// The first thing that is not well.
    fn check(&self, varz: &Varz) -> Result<(), String> {
        if let Some(most) = self.connections
            && varz.connections > most
        {
            return Err(format!("{} connections, at most {most} are allowed", varz.connections));
        }
        if let Some(least) = self.routes
            && varz.remotes < least
        {
            return Err(format!("connected to {} other brokers instead of {least}", varz.remotes));
        }
        // Years and days stand in it as well.
        let uptime = duration::parse(&varz.uptime).unwrap_or_default();
        match self.uptime {
            Some(least) if uptime < least => Err(format!("running for {} only", varz.uptime)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thing_that_is_not_well_is_told() {
        let judge = |options: &[&str]| {
            let check = CheckBroker::from_args(&["status"], options).unwrap();
            let varz = Varz {
                connections: 100,
                remotes: 1,
                uptime: "1d2h3m4s".to_owned(),
                ..Varz::default()
            };
            check.check(&varz)
        };
        for (options, expected) in [
            (&[][..], Ok(())),
            (&["--connections", "100", "--routes", "1", "--uptime", "26h"], Ok(())),
            (&["--connections", "99"], Err("100 connections, at most 99 are allowed")),
            (&["--routes", "2"], Err("connected to 1 other brokers instead of 2")),
            (&["--uptime", "2d"], Err("running for 1d2h3m4s only")),
        ] {
            assert_eq!(judge(options), expected.map_err(str::to_owned), "{options:?}");
        }
    }
}
