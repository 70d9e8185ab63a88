//! The table of refusals: every way not to be served, with the exact line in the log, the exact line
//! in the audit file and the answer. No case reaches an action, and each is one step away from a
//! request that does.

mod actions;
mod certificates;
mod envelopes;
mod policies;
#[cfg(feature = "rego")]
mod rego;
mod revocations;
mod signatures;
mod tokens;
mod world;

use std::cell::RefCell;
use std::path::Path;
use std::sync::{Once, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::protocol::rpc::RequestBody;
use crate::protocol::{Reply, Version, v1, v2};
use crate::server::audit::{AuditFile, Outcome, Place};
use crate::server::judge::{DENIED, NOT_AUDITED};
use crate::server::testing::{self, Probe, Recorder, TempDir};
use world::{World, now, world};

/// One way to be refused.
struct Case {
    name: String,
    /// What arrives; all but the last message belong to the preparation.
    messages: Vec<Vec<u8>>,
    /// What the log and the audit file say of it.
    trace: Trace,
    /// Status and text of the answer, when there is one.
    answer: Option<(i64, String)>,
    /// The server it arrives at.
    server: Arrangement,
}

/// What differs from the usual server.
#[derive(Clone, Default)]
struct Arrangement {
    authorization: Option<Authorization>,
    limits: Option<Limits>,
    /// Another provider than the usual one.
    security: Option<Arc<Provider>>,
    /// Another audit file than a fresh one; nothing is read from it.
    audit_file: Option<&'static str>,
    /// A folder that has to be there as long as the server.
    folder: Option<Arc<TempDir>>,
}

/// Where a request ends, and the reason in log and audit file.
enum Trace {
    /// No envelope can be read: nobody is known, so there is a line in the log only.
    Unreadable(String),
    /// Not proven: the audit line is what the request claims, without inputs.
    Unverified(Box<Request>, String),
    /// Proven, and dropped before any agent sees it.
    Dropped(Box<Request>, String),
    /// Refused by the judge: the word of the outcome, the action and the inputs in the audit line.
    Judged(Box<Request>, Outcome, String),
}

impl Case {
    fn new(name: impl Into<String>, message: Vec<u8>, trace: Trace) -> Case {
        let name = name.into();
        let (messages, server) = (vec![message], Arrangement::default());
        Case { name, messages, trace, answer: None, server }
    }

    fn answered(mut self, code: i64, text: impl Into<String>) -> Case {
        self.answer = Some((code, text.into()));
        self
    }

    fn after(mut self, message: Vec<u8>) -> Case {
        self.messages.insert(0, message);
        self
    }

    fn at(mut self, server: Arrangement) -> Case {
        self.server = server;
        self
    }
}

impl Trace {
    /// The line in the log.
    fn log_line(&self) -> String {
        match self {
            Trace::Unreadable(reason) | Trace::Unverified(_, reason) => {
                format!("WARN server: request dropped err={reason}")
            }
            Trace::Dropped(request, reason) => {
                format!("WARN server: request dropped request={} err={reason}", request.id)
            }
            Trace::Judged(request, outcome, reason) => format!(
                "WARN server: {} request={} agent=probe action={} caller={} reason={reason}",
                outcome.word(),
                request.id,
                body(request)["action"].as_str().unwrap_or_default(),
                request.caller,
            ),
        }
    }

    /// The line in the audit file, without its time.
    fn audit_line(&self) -> Option<String> {
        let (request, outcome, reason) = match self {
            Trace::Unreadable(_) => return None,
            Trace::Unverified(request, reason) => (request, Outcome::Unverified, reason),
            Trace::Dropped(request, reason) => (request, Outcome::Refused, reason),
            Trace::Judged(request, outcome, reason) => (request, *outcome, reason),
        };
        let body = body(request);
        let data = match outcome {
            Outcome::Unverified => json!({}),
            _ => body.get("data").cloned().unwrap_or_else(|| json!({})),
        };
        let text = |text: &str| {
            let json = Value::from(text).to_string();
            json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
        };
        Some(format!(
            r#""request_id":{},"request_time":{},"caller":{},"sender":{},"agent":{},"action":{},"data":{data},"outcome":"{}","reason":{}}}"#,
            text(&request.id),
            crate::util::time::unix_secs(request.time),
            text(&request.caller),
            text(&request.sender),
            text(&request.agent),
            text(body["action"].as_str().unwrap_or_default()),
            outcome.word(),
            text(reason),
        ))
    }
}

/// The body, empty when it cannot be read as one.
fn body(request: &Request) -> Value {
    let is_readable = RequestBody::decode(&request.payload()).is_ok();
    let body = serde_json::from_slice(&request.payload()).ok().filter(|_| is_readable);
    body.unwrap_or_else(|| json!({}))
}

/// A server in this thread with its log, its audit file and its agent.
struct Scene {
    pipeline: Arc<Pipeline>,
    link: Arc<Recorder>,
    executor: Arc<Executor<'static>>,
    probe: Arc<Probe>,
    folder: TempDir,
    _policies: Option<Arc<TempDir>>,
}

impl Scene {
    fn new(server: &Arrangement) -> Scene {
        listen_to_log();
        let (link, executor) = (Arc::new(Recorder::default()), Arc::new(Executor::new()));
        let (folder, probe) = (TempDir::new(), Arc::new(Probe::new()));
        let mut agents = testing::registry();
        agents.register(Hosted::Rpc(probe.clone())).unwrap();
        let path = server.audit_file.map_or_else(|| folder.path().join("audit.log"), Into::into);
        let file = AuditFile::open(Place { path, mode: 0o600, group: None }).unwrap();
        let pipeline = Pipeline::new(Parts {
            node: Arc::new(testing::node(link.clone())),
            agents,
            authorization: server.authorization.clone().unwrap_or(Authorization::Off),
            audit: Some(Arc::new(Audit::new(file))),
            security: server.security.clone().unwrap_or_else(|| world().server.clone()),
            workers: testing::workers(),
            executor: executor.clone(),
            limits: server.limits.unwrap_or_default(),
        });
        let _policies = server.folder.clone();
        Scene { pipeline, link, executor, probe, folder, _policies }
    }

    /// Feeds one message; gives the lines that it leaves in the log.
    fn feed(&self, message: Vec<u8>) -> Vec<String> {
        LINES.take();
        smol::block_on(self.executor.run(async {
            self.pipeline.accept(message, now()).await;
            while !self.executor.is_empty() {
                smol::Timer::after(Duration::from_micros(200)).await;
            }
        }));
        LINES.take()
    }

    /// The audit lines since the last call, without their times.
    fn audited(&self) -> Vec<String> {
        let path = self.folder.path().join("audit.log");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(path, "").unwrap();
        text.lines()
            .map(|line| {
                let (time, rest) =
                    line.split_at(r#"{"timestamp":"2026-11-22T17:03:05.123456+0000","#.len());
                assert!(
                    time.starts_with(r#"{"timestamp":"20"#) && time.ends_with(r#"+0000","#),
                    "{line}"
                );
                rest.to_owned()
            })
            .collect()
    }

    /// Status and text of the answers since the last call.
    fn answers(&self) -> Vec<(i64, String)> {
        let published = std::mem::take(&mut *self.link.published.lock().unwrap());
        let answer = |(_, raw): &(String, Vec<u8>)| {
            let transport = Transport::decode(raw).unwrap();
            let text = match transport.version {
                Version::V1 => {
                    v1::SecureReply::decode(&transport.data).unwrap().message.into_bytes()
                }
                Version::V2 => v2::SecureReply::decode(&transport.data).unwrap().reply,
            };
            let reply = Reply::decode(transport.version, &text).unwrap();
            let body = ReplyBody::decode(&reply.message).unwrap();
            (body.statuscode.number(), body.statusmsg)
        };
        published.iter().map(answer).collect()
    }
}

/// What is not as the case says.
fn check(case: &Case) -> Vec<String> {
    let scene = Scene::new(&case.server);
    let mut faults = Vec::new();
    let mut same = |what: &str, got: String, expected: String| {
        if got != expected {
            faults.push(format!("{}: {what}\n   got {got}\n  want {expected}", case.name));
        }
    };
    let Some((message, before)) = case.messages.split_last() else { return faults };
    before.iter().for_each(|message| drop(scene.feed(message.clone())));
    let calls = scene.probe.calls();
    scene.audited();
    scene.answers();
    same("log", scene.feed(message.clone()).join("\n"), case.trace.log_line());
    if case.server.audit_file.is_none() {
        let expected = case.trace.audit_line().unwrap_or_default();
        same("audit", scene.audited().join("\n"), expected);
    }
    let expected: Vec<_> = case.answer.iter().cloned().collect();
    same("answer", format!("{:?}", scene.answers()), format!("{expected:?}"));
    same("calls of the action", scene.probe.calls().to_string(), calls.to_string());
    faults
}

#[test]
fn the_request_that_all_others_are_made_from_is_served() {
    let scene = Scene::new(&Arrangement::default());
    let request = world().request();
    assert_eq!(scene.feed(world().message(&request)), [""; 0]);
    assert_eq!(scene.answers(), [(0, "OK".to_owned())]);
    assert_eq!(scene.probe.calls(), 1);
    let trace = Trace::Judged(Box::new(request), Outcome::Allowed, "authorization is off".into());
    assert_eq!(scene.audited(), [trace.audit_line().unwrap()]);
}

#[test]
fn every_refusal_is_logged_and_audited_and_reaches_no_action() {
    let world = world();
    let table = [
        envelopes::cases(world),
        signatures::cases(world),
        certificates::cases(world),
        actions::cases(world),
        policies::cases(world),
        revocations::cases(world),
        tokens::cases(world),
        #[cfg(feature = "rego")]
        rego::cases(world),
    ];
    let cases: Vec<Case> = table.into_iter().flatten().collect();
    let mut names: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases.len(), "two cases have the same name");
    assert!(cases.len() >= 200, "only {} cases", cases.len());
    let faults: Vec<String> = cases.iter().flat_map(check).collect();
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

thread_local! {
    /// Warnings and errors of this thread: everything about refusals is logged where messages are fed.
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps the lines of each thread.
struct Listener;

impl log::Log for Listener {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.with_borrow_mut(|lines| lines.push(format!("{} {}", record.level(), record.args())));
    }

    fn flush(&self) {}
}

fn listen_to_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Listener).expect("no other unit test has a logger");
        log::set_max_level(log::LevelFilter::Warn);
    });
}
