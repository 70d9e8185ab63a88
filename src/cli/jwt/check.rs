//! `choria jwt check`: judges a token for monitoring systems.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use super::view::judge;
use super::{length, read_token, verification_key};
use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::crypto::ed25519::PublicKey;
use crate::tokens::{Claims, Common, Key, ORGANIZATION_ISSUER_PREFIX, Purpose, Unverified};
use crate::util::{duration, time};

/// Check a token for a monitoring system; what is wrong stands on standard output.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "{command_name} server.jwt --purpose server --validity-min 30d\n[runnable] {command_name} alice.jwt --issuer issuer.public --identity up=alice --format json",
    note = "Exit codes:\n\
        0 all is well\n\
        1 the check could not be made\n\
        2 something is wrong with the token"
)]
pub struct Check {
    /// what it must be for
    #[argh(option, arg_name = "client|server|provisioning", from_str_fn(purpose))]
    purpose: Option<Purpose>,
    /// it must be good for this long
    #[argh(option, arg_name = "time", from_str_fn(length))]
    validity_min: Option<Duration>,
    /// it must not be good for longer than this
    #[argh(option, arg_name = "time", from_str_fn(length))]
    validity_max: Option<Duration>,
    /// it must be that of a chain issuer
    #[argh(switch)]
    chain_issuer: bool,
    /// it must not be that of a chain issuer
    #[argh(switch)]
    no_chain_issuer: bool,
    /// the public key, or its file, of the organization that must have made it, directly or by a chain
    #[argh(option, arg_name = "key")]
    issuer: Option<String>,
    /// a client must have a policy
    #[argh(switch)]
    client_opa: bool,
    /// a subject that it must name for subscriptions, more than once for more
    #[argh(option, arg_name = "subject")]
    sub: Vec<String>,
    /// a subject that it must name for publishing, more than once for more
    #[argh(option, arg_name = "subject")]
    r#pub: Vec<String>,
    /// the identity or caller id it must have
    #[argh(option, arg_name = "name")]
    identity: Option<String>,
    /// not supported
    #[argh(option, arg_name = "text", hidden_help)]
    query: Vec<String>,
    /// the form of the result, nagios by default
    #[argh(option, arg_name = "nagios|json|prometheus|text", default = "Form::Nagios")]
    format: Form,
    /// the file with the token
    #[argh(positional)]
    file: PathBuf,
}

fn purpose(text: &str) -> Result<Purpose, String> {
    match text {
        "client" => Ok(Purpose::Client),
        "server" => Ok(Purpose::Server),
        "provisioning" => Ok(Purpose::Provisioning),
        _ => Err(format!("{text} is none of client, server and provisioning")),
    }
}

/// How the result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Nagios,
    Json,
    Prometheus,
    Text,
}

impl FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "nagios" => Ok(Self::Nagios),
            "json" => Ok(Self::Json),
            "prometheus" => Ok(Self::Prometheus),
            "text" => Ok(Self::Text),
            _ => Err(format!("{text} is none of nagios, json, prometheus and text")),
        }
    }
}

/// What was found.
#[derive(Debug, Default, PartialEq)]
struct Findings {
    wrong: Vec<String>,
    well: Option<String>,
    /// Seconds until the token ends.
    left: Option<f64>,
}

impl Subcommand for Check {
    async fn run(self, _context: &Context) -> Result<Exit, Failure> {
        if !self.query.is_empty() {
            return Err(Failure::new("--query is not supported")
                .hint("look at the claims with choria jwt view --json"));
        }
        let key = self.issuer.as_deref().map(verification_key).transpose()?;
        let findings = match read_token(&self.file) {
            Ok(token) => self.examine(&token, key.as_ref(), SystemTime::now()),
            Err(failure) => Findings { wrong: vec![failure.message], ..Findings::default() },
        };
        let name = self.file.display().to_string();
        std::io::stdout().write_all(render(&findings, &name, self.format).as_bytes())?;
        Ok(if findings.wrong.is_empty() { Exit::Success } else { Exit::Critical })
    }
}

impl Check {
    fn examine(&self, token: &Unverified, key: Option<&Key>, now: SystemTime) -> Findings {
        let mut wrong = Vec::new();
        if let Some(expected) = self.purpose.filter(|purpose| token.purpose() != Some(*purpose)) {
            let found = token.purpose().map_or("unknown".to_owned(), |found| found.to_string());
            wrong.push(format!("purpose {found}, not {expected}"));
        }
        if let Err(denied) = judge(token, key, now) {
            wrong.push(denied.to_string());
        }
        self.holder(token.claims(), &mut wrong);
        if self.chain_issuer || self.no_chain_issuer {
            let is_issuer = is_chain_issuer(token.common(), key);
            if is_issuer != self.chain_issuer {
                wrong.push(format!("chain issuer: {is_issuer}"));
            }
        }
        let left = self.times(token.common(), now, &mut wrong);
        let kind = token.purpose().map(|purpose| match key {
            Some(_) => format!("{purpose} token"),
            None => format!("{purpose} token, not verified"),
        });
        if kind.is_none() {
            wrong.push("unknown purpose".to_owned());
        }
        Findings { wrong, well: kind, left }
    }

    fn holder(&self, claims: &Claims, wrong: &mut Vec<String>) {
        let none: &[String] = &[];
        let (name, publish, subscribe) = match claims {
            Claims::Client(claims) => {
                if self.client_opa && claims.opa_policy.is_empty() {
                    wrong.push("no OPA policy".to_owned());
                }
                (claims.caller.as_str(), &claims.publish[..], &claims.subscribe[..])
            }
            Claims::Server(claims) => (claims.identity.as_str(), &claims.publish[..], none),
            Claims::Provisioning(_) | Claims::Other(_) => ("", none, none),
        };
        if self.identity.as_ref().is_some_and(|expected| expected != name) {
            wrong.push(format!("identity {name}"));
        }
        let has_holder = matches!(claims, Claims::Client(_) | Claims::Server(_));
        if has_holder && let Err(denied) = claims.common().holder_key() {
            wrong.push(denied.to_string());
        }
        for (what, wanted, has) in
            [("subscribe", &self.sub, subscribe), ("publish", &self.r#pub, publish)]
        {
            let missing = wanted.iter().filter(|subject| !has.contains(subject));
            wrong.extend(missing.map(|subject| format!("{what} {subject}")));
        }
    }

    /// Gives the seconds until the token ends.
    fn times(&self, common: &Common, now: SystemTime, wrong: &mut Vec<String>) -> Option<f64> {
        for (is_absent, what) in
            [(common.id.is_empty(), "no id"), (common.not_before.is_none(), "no start of validity")]
        {
            if is_absent {
                wrong.push(what.to_owned());
            }
        }
        if common.not_before.is_some_and(|from| time::from_unix(from) > now) {
            wrong.push("not valid yet".to_owned());
        }
        let Some(end) = common.effective_expiry().map(time::from_unix) else {
            wrong.push("no expiry".to_owned());
            return None;
        };
        let left = match end.duration_since(now) {
            Ok(left) => left,
            // That it has ended was said before.
            Err(past) => return Some(-past.duration().as_secs_f64()),
        };
        let bounds = [
            self.validity_min.filter(|least| left < *least),
            self.validity_max.filter(|most| left > *most),
        ];
        if bounds.iter().any(Option::is_some) {
            let whole = Duration::from_secs(left.as_secs());
            wrong.push(format!("expires in {}", duration::go(whole)));
        }
        Some(left.as_secs_f64())
    }
}

/// Without a key the one that the token itself names is used: the signature at least fits together.
fn is_chain_issuer(common: &Common, key: Option<&Key>) -> bool {
    let named = common.issuer.strip_prefix(ORGANIZATION_ISSUER_PREFIX).unwrap_or_default();
    let key = match key {
        Some(Key::Ed25519(key)) => Some(*key),
        Some(Key::Rsa(_)) => None,
        None => PublicKey::from_hex(named).ok(),
    };
    key.is_some_and(|key| common.check_chain_issuer(&key).is_ok())
}

fn render(findings: &Findings, name: &str, form: Form) -> String {
    let (status, code) = if findings.wrong.is_empty() { ("OK", 0) } else { ("CRITICAL", 2) };
    match form {
        Form::Nagios => nagios(findings, name, status),
        Form::Json => format!("{:#}\n", document(findings, name, status)),
        Form::Prometheus => prometheus(findings, name, status, code),
        Form::Text => text(findings, name, status),
    }
}

fn nagios(findings: &Findings, name: &str, status: &str) -> String {
    let mut line = format!("{status} {name}");
    for wrong in &findings.wrong {
        let _ = write!(line, " Crit:{wrong}");
    }
    if let Some(well) = &findings.well {
        let _ = write!(line, " OK:{well}");
    }
    if let Some(left) = findings.left {
        let _ = write!(line, " | expires={left:.4}s");
    }
    line + "\n"
}

fn document(findings: &Findings, name: &str, status: &str) -> serde_json::Value {
    let mut document = json!({
        "status": status, "check_suite": "jwt", "check_name": name, "perf_data": [],
    });
    if !findings.wrong.is_empty() {
        document["critical"] = json!(findings.wrong);
    }
    if let Some(well) = &findings.well {
        document["ok"] = json!([well]);
    }
    if let Some(left) = findings.left {
        document["perf_data"] =
            json!([{"name": "expires", "value": left, "warning": 0, "critical": 0, "unit": "s"}]);
    }
    document
}

fn prometheus(findings: &Findings, name: &str, status: &str, code: u8) -> String {
    let item = name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let mut text = String::new();
    if let Some(left) = findings.left {
        let _ = write!(
            text,
            "# HELP choria_jwt_expires Seconds until expiry\n# TYPE choria_jwt_expires gauge\n\
             choria_jwt_expires{{item=\"{item}\"}} {left}\n"
        );
    }
    let _ = write!(
        text,
        "# HELP choria_jwt_status_code Nagios compatible status code for jwt\n\
         # TYPE choria_jwt_status_code gauge\n\
         choria_jwt_status_code{{item=\"{item}\",status=\"{status}\"}} {code}\n"
    );
    text
}

fn text(findings: &Findings, name: &str, status: &str) -> String {
    let mut text = format!("{name}: {status}\n\n");
    for wrong in &findings.wrong {
        let _ = writeln!(text, "  CRITICAL  {wrong}");
    }
    if let Some(well) = &findings.well {
        let _ = writeln!(text, "  OK        {well}");
    }
    if let Some(left) = findings.left {
        let _ = writeln!(text, "  expires   {left:.0} s");
    }
    text
}
