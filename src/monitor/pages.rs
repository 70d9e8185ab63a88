//! The status pages over HTTP.

use std::sync::Arc;

use serde::Serialize;

use super::Monitor;
use super::metrics;
use super::options::{
    AccountStatzOptions, AccountzOptions, BadOption, ConnzOptions, HealthzOptions, SubszOptions,
    flag, is_detail, number,
};
use super::text::Float;
use super::varz::cores;
use crate::http::{Answer, Handler, Query, Request, Response};
use crate::sys;

/// Answers requests for status pages.
#[derive(Debug, Clone)]
pub struct Pages {
    monitor: Arc<Monitor>,
}

/// The pages, with the names the index shows.
const PAGES: &[(&str, &str)] = &[
    ("/varz", "General"),
    ("/connz", "Connections"),
    ("/accountz", "Accounts"),
    ("/accstatz", "Account statistics"),
    ("/subsz", "Subscriptions"),
    ("/routez", "Routes"),
    ("/leafz", "Leaf nodes"),
    ("/gatewayz", "Gateways"),
    ("/jsz", "Streams"),
    ("/healthz", "Health"),
    ("/metrics", "Metrics for Prometheus"),
    ("/choria/", "Choria"),
];

impl Handler for Pages {
    fn answer(&self, request: Request) -> Answer {
        let pages = self.clone();
        Box::pin(async move { pages.page(&request).await })
    }
}

impl Pages {
    /// The pages of a monitor.
    pub fn new(monitor: Arc<Monitor>) -> Pages {
        Pages { monitor }
    }

    async fn page(&self, request: &Request) -> Response {
        let (monitor, query) = (&self.monitor, &request.query);
        let Some(page) = known(&request.path) else {
            return Response::text(404, "404 page not found\n");
        };
        monitor.count_request(page);
        let made = match page {
            "/" => Ok(index()),
            "/varz" => Ok(json(&monitor.varz())),
            "/connz" => self.connz(query).await,
            "/subsz" => self.subsz(query).await,
            "/accountz" => self.accountz(query).await,
            "/accstatz" => self.account_statz(query).await,
            "/routez" => self.routez(query),
            "/leafz" => flag(query, "subs").map(|_| json(&monitor.leafz())),
            "/gatewayz" => flag(query, "accs").map(|_| json(&monitor.gatewayz())),
            "/jsz" => self.jsz(query),
            "/healthz" => self.healthz(query),
            "/choria/" => Ok(json(&monitor.choria())),
            _ => Ok(Response::new(200, metrics::MEDIA_TYPE, monitor.metrics())),
        };
        made.unwrap_or_else(|BadOption(text)| Response::text(400, text))
    }

    async fn connz(&self, query: &Query) -> Result<Response, BadOption> {
        let options = ConnzOptions::of(query)?;
        Ok(json(&self.monitor.connz(&options).await?))
    }

    async fn subsz(&self, query: &Query) -> Result<Response, BadOption> {
        let options = SubszOptions::of(query)?;
        Ok(json(&self.monitor.subsz(&options).await?))
    }

    async fn accountz(&self, query: &Query) -> Result<Response, BadOption> {
        let options = AccountzOptions { account: query.value("acc").to_owned() };
        Ok(json(&self.monitor.accountz(&options).await?))
    }

    async fn account_statz(&self, query: &Query) -> Result<Response, BadOption> {
        let include_unused = flag(query, "unused")?;
        let options = AccountStatzOptions { accounts: Vec::new(), include_unused };
        Ok(json(&self.monitor.account_statz(&options).await))
    }

    fn routez(&self, query: &Query) -> Result<Response, BadOption> {
        if !is_detail(query) {
            flag(query, "subs")?;
        }
        Ok(json(&self.monitor.routez()))
    }

    fn jsz(&self, query: &Query) -> Result<Response, BadOption> {
        for name in ["accounts", "streams", "consumers", "config", "leader-only", "raft"] {
            flag(query, name)?;
        }
        number(query, "offset")?;
        number(query, "limit")?;
        Ok(json(&self.monitor.jsz()))
    }

    fn healthz(&self, query: &Query) -> Result<Response, BadOption> {
        let mut health = self.monitor.healthz(&HealthzOptions::of(query)?);
        let status = std::mem::take(&mut health.status_code);
        Ok(Response::json(status, serde_json::to_vec(&health).unwrap_or_default()))
    }
}

/// The page that a path means.
fn known(path: &str) -> Option<&'static str> {
    match path {
        "/" => Some("/"),
        "/subscriptionsz" => Some("/subsz"),
        "/choria" => Some("/choria/"),
        "/choria/prometheus" => Some("/choria/prometheus"),
        "/choria/metrics" => Some("/choria/metrics"),
        _ => PAGES.iter().map(|(known, _)| *known).find(|known| *known == path),
    }
}

fn json(report: &impl Serialize) -> Response {
    match serde_json::to_vec_pretty(report) {
        Ok(body) => Response::json(200, body),
        Err(error) => {
            log::error!("monitor: cannot write a report err={error}");
            Response::text(500, "internal error\n")
        }
    }
}

fn index() -> Response {
    let links: String = PAGES
        .iter()
        .map(|(path, name)| {
            format!("<li><a href=\".{path}\">{name}</a> <code>{path}</code></li>\n")
        })
        .collect();
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><title>Choria Broker</title></head>\n<body>\n\
         <h1>Choria Broker</h1>\n<ul>\n{links}</ul>\n</body>\n</html>\n"
    );
    Response::new(200, "text/html; charset=utf-8", page)
}

/// What go-choria tells about its build and its host (`statistics/stats.go`).
#[derive(Debug, Serialize)]
struct Choria<'m> {
    build: Build<'m>,
    system: System,
    config_file: String,
    identity: &'m str,
}

#[derive(Debug, Serialize)]
struct Build<'m> {
    version: &'m str,
    sha: &'static str,
    build_date: &'static str,
    license: &'static str,
    tls: bool,
    secure: bool,
    go: &'m str,
    max_broker_clients: usize,
}

#[derive(Debug, Serialize)]
struct System {
    rss: u64,
    cpu_percent: Float,
    cpu_cores: usize,
}

impl Monitor {
    fn choria(&self) -> Choria<'_> {
        let (settings, _) = self.observer.settings();
        let config_file = self.around.config_file.as_ref();
        Choria {
            build: Build {
                version: &self.around.version,
                sha: "unknown",
                build_date: "unknown",
                license: env!("CARGO_PKG_LICENSE"),
                tls: settings.tls.is_some(),
                secure: settings.tls.is_some(),
                go: &self.observer.info().go,
                max_broker_clients: settings.connections_max,
            },
            system: System {
                rss: sys::memory_bytes().0,
                cpu_percent: Float(self.sampler.cpu_percent()),
                cpu_cores: cores(),
            },
            config_file: config_file.map(|path| path.display().to_string()).unwrap_or_default(),
            identity: &self.around.identity,
        }
    }
}
