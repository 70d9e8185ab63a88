//! The certificate authority of a broker: answers those who want certificates, and sees what is revoked.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use smol::{Task, Timer};

use crate::broker::{Broker, Observer};
use crate::ca::{Ca, Service, wire};
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::config::Config;
use crate::monitor::wire::{Received, Wire};

/// Time before a connection that was lost is made again.
const RETRY: Duration = Duration::from_secs(1);
/// How often the list of revoked certificates is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is made anew when it is old.
const REFRESH_EVERY: Duration = Duration::from_secs(3_600);
/// Questions that wait; more are not read from the connection.
const WAITING_MAX: usize = 64;

/// An authority that was opened.
pub struct Prepared(Option<Arc<Service>>);

/// Answers as long as it lives.
pub struct Authority {
    _tasks: Vec<Task<()>>,
}

impl Authority {
    /// Opens the authority that the configuration asks for.
    pub fn prepare(config: &Config) -> Result<Prepared, Failure> {
        if !config.choria.broker_ca {
            return Ok(Prepared(None));
        }
        let ca = Ca::open(&config.choria.ca_dir).map_err(|error| {
            Failure::new(format!("the certificate authority cannot be used: {error}"))
                .hint("choria ca init makes one; plugin.choria.ca.dir names its folder")
        })?;
        let service = Service::new(Arc::new(ca));
        service.refresh(SystemTime::now()).map_err(|error| {
            Failure::new(format!("the certificate authority cannot be used: {error}"))
        })?;
        Ok(Prepared(Some(Arc::new(service))))
    }
}

impl Prepared {
    /// Begins to answer.
    pub fn start(self, context: &Context, broker: &Broker) -> Authority {
        let Some(service) = self.0 else { return Authority { _tasks: Vec::new() } };
        let spawn = |account: &str, subjects: &'static [&'static str]| {
            let served = serve(service.clone(), broker.observer(), account.to_owned(), subjects);
            context.executor.spawn(served)
        };
        let usual = broker.observer().account_names().into_iter().next().unwrap_or_default();
        log::info!(
            "broker: certificate authority folder={} fingerprint=sha256:{}",
            service.ca().folder().display(),
            service.ca().fingerprint()
        );
        let watched = watch(service.clone(), broker.observer());
        Authority {
            _tasks: vec![
                spawn(wire::ACCOUNT, &[wire::ENROLL]),
                spawn(&usual, &[wire::RENEW, wire::CRL]),
                context.executor.spawn(watched),
            ],
        }
    }
}

/// Answers in one account for as long as the broker runs.
async fn serve(
    service: Arc<Service>,
    observer: Observer,
    account: String,
    subjects: &'static [&'static str],
) {
    loop {
        if let Err(error) = serve_once(&service, &observer, &account, subjects).await {
            log::warn!("ca: the connection ended account={account} err={error}");
        }
        Timer::after(RETRY).await;
    }
}

async fn serve_once(
    service: &Arc<Service>,
    observer: &Observer,
    account: &str,
    subjects: &[&str],
) -> std::io::Result<()> {
    let (wire, mut reader) = Wire::open(observer, account, "choria certificate authority").await?;
    for (sid, subject) in (1..).zip(subjects) {
        wire.subscribe(subject, sid).await?;
    }
    let (sender, questions) = flume::bounded(WAITING_MAX);
    let answering = async {
        while let Ok(question) = questions.recv_async().await {
            answer(service, &wire, question).await?;
        }
        Ok(())
    };
    let reading = async { Err(reader.run(&wire, &sender).await) };
    smol::future::or(answering, reading).await
}

async fn answer(service: &Arc<Service>, wire: &Wire, question: Received) -> std::io::Result<()> {
    let Some(reply) = question.reply.filter(|reply| is_inbox(reply)) else { return Ok(()) };
    let service = service.clone();
    // It signs, and waits for the disk.
    let answer = smol::unblock(move || {
        let now = SystemTime::now();
        match question.subject.as_str() {
            wire::ENROLL => service.enroll(&question.payload, now),
            wire::RENEW => service.renew(&question.payload, now),
            _ => service.crl(),
        }
    });
    wire.publish(&reply, &answer.await).await
}

/// Whether answers may go there. We may publish on every subject, and do not do so for those who may not.
fn is_inbox(subject: &str) -> bool {
    let starts_well = ["_INBOX", wire::REPLIES]
        .iter()
        .any(|start| subject.strip_prefix(start).is_some_and(|rest| rest.starts_with('.')));
    starts_well || subject.split('.').nth(1) == Some("reply")
}

/// Keeps the list of revoked certificates fresh, and has the broker look at its connections when it has changed.
async fn watch(service: Arc<Service>, observer: Observer) {
    let path = service.ca().crl_file();
    let mut seen = stamp(&path);
    let mut waited = Duration::ZERO;
    loop {
        Timer::after(LOOK_EVERY).await;
        waited += LOOK_EVERY;
        if waited >= REFRESH_EVERY {
            waited = Duration::ZERO;
            let service = service.clone();
            let refreshed = smol::unblock(move || service.refresh(SystemTime::now())).await;
            if let Err(error) = refreshed {
                log::error!("ca: the list of revoked certificates gets old err={error}");
            }
        }
        let now = stamp(&path);
        if now != seen {
            seen = now;
            observer.review_connections();
        }
    }
}

fn stamp(path: &Path) -> Option<(u64, i64, i64)> {
    let of = |data: Metadata| (data.ino(), data.mtime(), data.mtime_nsec());
    std::fs::metadata(path).ok().map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_go_to_inboxes_only() {
        for subject in ["_INBOX.a", "choria.ca.reply.0f.a", "mcollective.reply.0f.1"] {
            assert!(is_inbox(subject), "{subject}");
        }
        for subject in [
            "",
            "_INBOXES.a",
            "choria.ca.enroll",
            "mcollective.broadcast.agent.x",
            "a.b.reply",
            "$SYS.x",
        ] {
            assert!(!is_inbox(subject), "{subject}");
        }
    }
}
