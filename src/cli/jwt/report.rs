//! What a token says, for a person.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::crypto::ed25519::PublicKey;
use crate::crypto::hash::md5_hex;
use crate::tokens::{
    Claims, ClientClaims, ClientPermissions, Common, ORGANIZATION_ISSUER_PREFIX,
    ProvisioningClaims, ServerClaims, ServerPermissions,
};
use crate::util::{duration, secret, time};

/// Lines of a name and a value, and permissions below them.
#[derive(Default)]
struct Report {
    lines: Vec<(&'static str, String)>,
    permissions: Option<Vec<&'static str>>,
}

impl Report {
    fn line(&mut self, name: &'static str, value: impl Into<String>) {
        self.lines.push((name, value.into()));
    }

    fn line_if(&mut self, name: &'static str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.line(name, value);
        }
    }

    fn text(&self) -> String {
        let width = self.lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
        let mut text = String::new();
        for (name, value) in &self.lines {
            let mut rows = value.lines();
            let _ = writeln!(text, "{name:>width$}: {}", rows.next().unwrap_or_default());
            for row in rows {
                let _ = writeln!(text, "{:width$}  {row}", "");
            }
        }
        if let Some(permissions) = &self.permissions {
            text.push_str("\n  Permissions:\n\n");
            for line in permissions {
                let _ = writeln!(text, "    {line}");
            }
            if permissions.is_empty() {
                text.push_str("    None\n");
            }
        }
        text
    }
}

/// The report without a heading.
pub(super) fn of(claims: &Claims, payload: &[u8], now: SystemTime) -> String {
    let mut report = Report::default();
    match claims {
        Claims::Client(claims) => client(&mut report, claims, now),
        Claims::Server(claims) => server(&mut report, claims, now),
        Claims::Provisioning(claims) => provisioning(&mut report, claims, now),
        Claims::Other(_) => return json(payload),
    }
    report.text()
}

/// The claims as JSON with an indent.
pub(super) fn json(payload: &[u8]) -> String {
    let value: Value = serde_json::from_slice(payload).unwrap_or_default();
    format!("{value:#}\n")
}

fn client(report: &mut Report, claims: &ClientClaims, now: SystemTime) {
    report.line("Caller ID", &claims.caller);
    report.line_if("Organization", &claims.organization);
    report.line_if("Allowed Agents", claims.agents.join(", "));
    report.line("Public Key", &claims.common.public_key);
    report.line("Private Network ID", md5_hex(claims.caller.as_bytes()));
    times(report, &claims.common, now);
    report.line_if("Subscribe Subjects", claims.subscribe.join(", "));
    report.line_if("Publish Subjects", claims.publish.join(", "));
    chain(report, &claims.common);
    if !claims.user_properties.is_empty() {
        report.line("User Properties", pretty(&claims.user_properties));
    }
    report.line_if("OPA Policy", &claims.opa_policy);
    report.permissions = Some(client_permissions(&claims.permissions));
}

fn server(report: &mut Report, claims: &ServerClaims, now: SystemTime) {
    report.line("Identity", &claims.identity);
    report.line("Collectives", claims.collectives.join(", "));
    report.line_if("Organization", &claims.organization);
    report.line("Public Key", &claims.common.public_key);
    report.line("Private Network ID", md5_hex(claims.identity.as_bytes()));
    times(report, &claims.common, now);
    report.line_if("Publish Subjects", claims.publish.join(", "));
    chain(report, &claims.common);
    report.permissions = Some(server_permissions(&claims.permissions));
}

fn provisioning(report: &mut Report, claims: &ProvisioningClaims, now: SystemTime) {
    let masked = |text: &str| if text.is_empty() { "" } else { secret::MASK };
    report.line("Token", masked(claims.token.expose()));
    report.line("Organization", &claims.organization);
    report.line("Secure", claims.secure.to_string());
    report.line_if("SRV Domain", &claims.srv_domain);
    report.line_if("URLs", &claims.urls);
    report.line("By Default", claims.by_default.to_string());
    report.line_if("Registration Data", &claims.registration_file);
    report.line_if("Facts", &claims.facts_file);
    report.line_if("Broker Username", &claims.user);
    report.line_if("Broker Password", masked(claims.password.expose()));
    report.line("Protocol v2", claims.protocol_v2.to_string());
    report.line("Upgrades", claims.allow_update.to_string());
    if let Some(extensions) = &claims.extensions {
        report.line("Extensions", pretty(extensions));
    }
    times(report, &claims.common, now);
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn times(report: &mut Report, common: &Common, now: SystemTime) {
    report.line_if("Issuer", &common.issuer);
    report.line_if("Token ID", &common.id);
    report.line("Expires At", expiry(common, now));
    if let Some(from) = common.not_before.filter(|from| time::from_unix(*from) > now) {
        report.line("Not Before", time::rfc3339(time::from_unix(from)));
    }
}

/// When a token ends, and how far that is from now.
fn expiry(common: &Common, now: SystemTime) -> String {
    let Some(end) = common.effective_expiry() else {
        return "never, so nobody connects with it".to_owned();
    };
    let end = time::from_unix(end);
    let far = |far: Duration| duration::go(Duration::from_secs(far.as_secs()));
    let distance = match end.duration_since(now) {
        Ok(left) if !left.is_zero() => format!("in {}", far(left)),
        Ok(left) => format!("expired {} ago", far(left)),
        Err(past) => format!("expired {} ago", far(past.duration())),
    };
    format!("{} ({distance})", time::rfc3339(end))
}

fn chain(report: &mut Report, common: &Common) {
    if common.is_chained() {
        let id = common.issuer.trim_start_matches("C-").split('.').next().unwrap_or_default();
        report.line("Trust Chain", format!("issued by the chain issuer {id}"));
    } else if common.is_chain_issuer() {
        let key = common.issuer.strip_prefix(ORGANIZATION_ISSUER_PREFIX).unwrap_or_default();
        let holds =
            PublicKey::from_hex(key).is_ok_and(|key| common.check_chain_issuer(&key).is_ok());
        report.line(
            "Trust Chain",
            if holds {
                format!("may issue tokens for the organization key {key}")
            } else {
                "broken: tokens it issues are refused".to_owned()
            },
        );
    }
}

fn granted(list: &[(bool, &'static str)]) -> Vec<&'static str> {
    list.iter().filter(|(granted, _)| *granted).map(|(_, text)| *text).collect()
}

fn client_permissions(permissions: &ClientPermissions) -> Vec<&'static str> {
    let p = permissions;
    granted(&[
        (p.signed_fleet_management, "Can manage nodes with requests that a delegator has signed"),
        (p.fleet_management && !p.signed_fleet_management, "Can manage nodes"),
        (p.election_user, "Can use leader elections"),
        (p.events_viewer, "Can view events of servers and autonomous agents"),
        (p.streams_user, "Can use Streams"),
        (p.streams_admin, "Can administer Streams"),
        (p.governor, "Can use governors"),
        (p.org_admin, "Can see and send everything and use the system account"),
        (p.system_user, "Can use the system account of the broker"),
        (p.authentication_delegator, "Can sign requests of others"),
        (p.service, "Can have a long validity"),
        (p.provisioner, "Can provision servers"),
    ])
}

fn server_permissions(permissions: &ServerPermissions) -> Vec<&'static str> {
    let p = permissions;
    granted(&[
        (p.service_host, "Can host service agents"),
        (p.submission, "Can submit messages"),
        (p.streams, "Can use Streams"),
        (p.governor, "Can use governors"),
    ])
}
