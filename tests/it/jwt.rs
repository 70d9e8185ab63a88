//! `choria jwt`: tokens of every purpose, chains of trust, and what a monitoring system is told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use choria::crypto::ed25519::KeyPair;
use choria::crypto::ksuid::Ksuid;
use choria::tokens::{self, ClientClaims, SigningKey};
use serde_json::Value;

use super::cli_usage::{Ran, command};
use super::support::{Folder, Pki};

/// A folder in which the commands of a test run.
struct Place(Folder);

impl Place {
    /// With the keys of an organization, a chain issuer and a user.
    fn new(name: &str) -> Self {
        let place = Self(Folder::new(&format!("jwt_{name}")));
        for name in ["org", "aaa", "user"] {
            let made = place.jwt(&["keys", &format!("{name}.seed"), &format!("{name}.public")]);
            assert_eq!(made.code, Some(0), "{made:?}");
        }
        place
    }

    fn jwt(&self, words: &[&str]) -> Ran {
        let words = [&["jwt"], words].concat();
        let output = command(&words).current_dir(self.0.file("")).output().expect("it starts");
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    fn made(&self, words: &[&str]) {
        let ran = self.jwt(words);
        let file = words[1];
        let stdout = format!("Saved token to {file}, use 'choria jwt view {file}' to view it\n");
        assert_eq!(ran, Ran { code: Some(0), stdout, stderr: String::new() }, "{words:?}");
    }

    fn claims(&self, file: &str) -> Value {
        let ran = self.jwt(&["view", file, "--json"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        serde_json::from_str(&ran.stdout).expect("JSON")
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.file(file)).expect("the file is there")
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.file(file), text).expect("the folder is there");
    }

    /// A token of alice, signed by the organization, that began and ends so many seconds from now.
    fn dated(&self, file: &str, from: i64, to: i64) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let now = i64::try_from(now.as_secs()).expect("a time");
        let id = Ksuid::from_parts(now, [7; 16]).expect("a time");
        let pair = KeyPair::from_seed_hex(&self.read("org.seed")).expect("a seed");
        let public = pair.public_key();
        let mut claims = ClientClaims::new("up=alice", Some(public), id, Duration::from_secs(1));
        claims.common.not_before = Some(now + from);
        claims.common.expires = Some(now + to);
        let text = tokens::sign(&claims, &SigningKey::Ed25519(pair)).expect("a token");
        self.write(file, &text);
    }
}

fn stderr(text: &str) -> Ran {
    Ran { code: Some(1), stdout: String::new(), stderr: text.to_owned() }
}

#[test]
fn keys_are_private_and_never_lost_by_accident() {
    let place = Place::new("keys");
    let (seed, public) = (place.read("org.seed"), place.read("org.public"));
    assert_eq!((seed.len(), public.len()), (64, 64));
    let mode = |file| {
        let metadata = fs::metadata(place.0.file(file)).expect("file");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!((mode("org.seed"), mode("org.public")), (0o600, 0o644));
    assert_eq!(
        place.jwt(&["keys", "org.seed"]),
        stderr(
            "choria: the seed org.seed exists\n\
             hint: --force makes a new one; tokens with the old key are useless then\n"
        )
    );
    let shown = place.jwt(&["k", "--show-public", "org.seed"]);
    assert_eq!(shown.stdout, format!("Public Key: {public}\n"));
    assert_eq!(place.read("org.seed"), seed);
    assert_eq!(place.jwt(&["keys", "--force", "org.seed"]).code, Some(0));
    assert_ne!(place.read("org.seed"), seed);
    let missing = place.jwt(&["keys", "--show-public", "none.seed"]);
    assert_eq!(
        missing,
        stderr("choria: cannot read the seed none.seed: No such file or directory (os error 2)\n")
    );
    place.write("bad.seed", "00");
    assert_eq!(
        place.jwt(&["keys", "--show-public", "bad.seed"]),
        stderr("choria: bad.seed is not an ed25519 seed of 64 hexadecimal digits\n")
    );
}

#[test]
fn tokens_of_every_purpose_are_made_and_verified() {
    let place = Place::new("purposes");
    place.made(&[
        "client",
        "c.jwt",
        "up=alice",
        "org.seed",
        "--public-key",
        "user.public",
        "--agents",
        "rpcutil.ping",
        "--agents",
        "puppet.*",
        "--publish",
        "a.b",
        "--subscribe",
        "c.>",
        "--stream-user",
        "--org",
        "acme",
        "--opa",
        "package x",
        "--validity",
        "2h",
    ]);
    let claims = place.claims("c.jwt");
    let user = place.read("user.public");
    for (claim, expected) in [
        ("callerid", "\"up=alice\""),
        ("agents", r#"["rpcutil.ping","puppet.*"]"#),
        ("pub_subjects", r#"["a.b"]"#),
        ("sub_subjects", r#"["c.>"]"#),
        ("ou", "\"acme\""),
        ("opa_policy", "\"package x\""),
        ("permissions", r#"{"fleet_management":true,"streams_user":true}"#),
        ("purpose", "\"choria_client_id\""),
        ("public_key", &format!("{user:?}")),
    ] {
        assert_eq!(claims[claim].to_string(), expected, "{claim}");
    }
    assert_eq!(claims["exp"].as_i64(), claims["iat"].as_i64().map(|made| made + 7_200));
    let view = place.jwt(&["view", "c.jwt", "org.public"]);
    assert_eq!(view.code, Some(0), "{view:?}");
    assert!(view.stdout.starts_with("Verified client token c.jwt\n\n"), "{}", view.stdout);
    for line in [
        "Caller ID: up=alice\n",
        "Allowed Agents: rpcutil.ping, puppet.*\n",
        "Private Network ID: 9ff94a8781520105e44481be68e5d47f\n",
        "(in 1h59m",
        "    Can manage nodes\n    Can use Streams\n",
    ] {
        assert!(view.stdout.contains(line), "{line} in {}", view.stdout);
    }
    let view = place.jwt(&["c.jwt"]);
    assert!(view.stdout.starts_with("Unverified client token c.jwt\n\n"), "{view:?}");

    place.made(&[
        "server",
        "s.jwt",
        "n1.example.net",
        "user.public",
        "org.seed",
        "--collectives",
        "uk",
        "--collectives",
        "de",
        "--submission",
        "--stream-user",
        "--governor",
        "--service",
    ]);
    let claims = place.claims("s.jwt");
    assert_eq!(claims["collectives"].to_string(), r#"["uk","de"]"#);
    assert_eq!(
        claims["permissions"].to_string(),
        r#"{"governor":true,"service_host":true,"streams":true,"submission":true}"#
    );
    let view = place.jwt(&["view", "s.jwt", &place.read("org.public")]);
    assert!(view.stdout.starts_with("Verified server token s.jwt\n"), "{view:?}");

    // Without a word about it, that of servers with tokens.
    place.made(&["server", "d.jwt", "n1.example.net", "user.public", "org.seed"]);
    assert_eq!(place.claims("d.jwt")["collectives"].to_string(), r#"["choria"]"#);

    place.made(&[
        "prov",
        "p.jwt",
        "org.seed",
        "--token",
        "s3cret",
        "--urls",
        "b1:4222",
        "--urls",
        "b2:4222",
        "--password",
        "pw",
        "--extensions",
        r#"{"a":[1]}"#,
        "--no-insecure",
        "--update",
    ]);
    let claims = place.claims("p.jwt");
    assert_eq!(claims["chu"], "b1:4222,b2:4222");
    assert_eq!((&claims["chs"], &claims["update"]), (&true.into(), &true.into()));
    assert_eq!(claims["extensions"].to_string(), r#"{"a":[1]}"#);
    let view = place.jwt(&["view", "p.jwt", "org.public"]);
    assert!(view.stdout.starts_with("Verified provisioning token p.jwt\n"), "{view:?}");
    assert!(!view.stdout.contains("s3cret") && !view.stdout.contains("pw"), "{}", view.stdout);
}

#[test]
fn permissions_that_bring_others_with_them() {
    let place = Place::new("permissions");
    for (flags, expected) in [
        (&[][..], r#"{"fleet_management":true}"#),
        (&["--no-fleet-management"], "null"),
        (
            &["--no-fleet-management", "--signed-fleet-management"],
            r#"{"fleet_management":true,"signed_fleet_management":true}"#,
        ),
        (
            &["--no-fleet-management", "--server-provisioner"],
            r#"{"fleet_management":true,"provisioner":true}"#,
        ),
        (&["--issuer", "--auth-delegation", "--signed-fleet-management"], "null"),
        (
            &["--auth-delegation", "--service", "--fleet-management"],
            r#"{"authentication_delegator":true,"fleet_management":true,"service":true}"#,
        ),
    ] {
        let line = ["client", "c.jwt", "up=a", "org.seed", "--public-key", "user.public"];
        place.made(&[&line[..], flags].concat());
        assert_eq!(place.claims("c.jwt")["permissions"].to_string(), expected, "{flags:?}");
    }
}

#[test]
fn callers_that_servers_refuse_are_told() {
    let place = Place::new("callers");
    let made = place.jwt(&["client", "c.jwt", "alice", "org.seed"]);
    let warnings = "choria: warning: servers refuse a caller id that is not kind=name, such as up=alice\n\
                    choria: warning: without --public-key nobody can log in at a broker with this token\n";
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), warnings));
    let keyed = ["--no-fleet-management", "--public-key", "user.public"];
    place.made(&[&["client", "c.jwt", "aaa", "org.seed"][..], &keyed].concat());
}

#[test]
fn chains_of_trust() {
    let place = Place::new("chains");
    place.made(&[
        "client",
        "aaa.jwt",
        "up=aaa",
        "org.seed",
        "--public-key",
        "aaa.public",
        "--issuer",
        "--validity",
        "30d",
    ]);
    place.made(&[
        "client",
        "u.jwt",
        "up=bob",
        "aaa.seed",
        "--public-key",
        "user.public",
        "--issued-by",
        "aaa.jwt",
        "--validity",
        "1y",
    ]);
    place.made(&["server", "n.jwt", "n1", "user.public", "aaa.seed", "--issued-by", "aaa.jwt"]);
    let (issuer, user) = (place.claims("aaa.jwt"), place.claims("u.jwt"));
    assert_eq!(user["issexp"], issuer["exp"]);
    assert_eq!(user["exp"], issuer["exp"]);
    for file in ["aaa.jwt", "u.jwt", "n.jwt"] {
        let view = place.jwt(&["view", file, "org.public"]);
        assert_eq!((view.code, view.stderr.as_str()), (Some(0), ""), "{view:?}");
        let check = place.jwt(&["check", file, "--issuer", "org.public"]);
        assert_eq!(check.code, Some(0), "{check:?}");
    }
    let view = place.jwt(&["view", "aaa.jwt"]);
    let line = format!("may issue tokens for the organization key {}\n", place.read("org.public"));
    assert!(view.stdout.contains(&line), "{}", view.stdout);
    // The issuer's key alone is not the organization.
    let view = place.jwt(&["view", "u.jwt", "aaa.public"]);
    assert!(view.stdout.starts_with("Refused client token u.jwt\n"), "{view:?}");
    assert_eq!(
        (view.code, view.stderr.as_str()),
        (
            Some(1),
            "choria: the chain of trust of the token is broken: the organization did not sign the issuer\n"
        )
    );
    let is_issuer = |file: &str, flag: &str| place.jwt(&["check", file, flag]).code;
    assert_eq!(is_issuer("aaa.jwt", "--chain-issuer"), Some(0));
    assert_eq!(is_issuer("aaa.jwt", "--no-chain-issuer"), Some(2));
    assert_eq!(is_issuer("u.jwt", "--chain-issuer"), Some(2));
    assert_eq!(is_issuer("u.jwt", "--no-chain-issuer"), Some(0));
    let made = |key: &str, by: &str| {
        place.jwt(&[
            "client",
            "x.jwt",
            "up=x",
            key,
            "--public-key",
            "user.public",
            "--issued-by",
            by,
        ])
    };
    assert_eq!(
        made("org.seed", "aaa.jwt"),
        stderr("choria: cannot issue by aaa.jwt: the key does not belong to the issuing token\n")
    );
    assert_eq!(
        made("user.seed", "u.jwt"),
        stderr("choria: cannot issue by u.jwt: the issuing token is not that of a chain issuer\n")
    );
}

#[test]
fn rsa_keys_sign_too() {
    let place = Place::new("rsa");
    let leaf = Pki::shared().leaf("alice.mcollective");
    let (key, certificate) =
        (leaf.key.to_str().expect("text"), leaf.certificate.to_str().expect("text"));
    place.made(&["client", "c.jwt", "up=alice", key, "--public-key", "user.public"]);
    place.made(&["server", "s.jwt", "n1", "user.public", key]);
    place.made(&["provisioning", "p.jwt", key, "--token", "x", "--srv", "example.net"]);
    for file in ["c.jwt", "s.jwt", "p.jwt"] {
        let view = place.jwt(&["view", file, certificate]);
        assert_eq!(view.code, Some(0), "{view:?}");
        let view = place.jwt(&["view", file, "org.public"]);
        let text = "choria: the algorithm RS256 of the token does not fit the kind of the key\n";
        assert_eq!((view.code, view.stderr.as_str()), (Some(1), text));
    }
    let issuer = ["client", "i.jwt", "up=i", key, "--public-key", "user.public", "--issuer"];
    let text = format!("choria: {key} is an RSA key; a chain of trust needs ed25519 keys\n");
    assert_eq!(place.jwt(&issuer), stderr(&text));
}

#[test]
fn what_has_expired_or_is_not_trusted_ends_with_an_error() {
    let place = Place::new("expired");
    place.dated("past.jwt", -100, -50);
    place.dated("later.jwt", 50, 100);
    place.dated("good.jwt", -100, 1_000);
    for (file, key, expected) in [
        ("good.jwt", None, ""),
        ("good.jwt", Some("org.public"), ""),
        ("good.jwt", Some("aaa.public"), "the signature of the token does not fit its issuer"),
        ("past.jwt", None, "the token expired at "),
        ("past.jwt", Some("org.public"), "the token expired at "),
        ("later.jwt", Some("org.public"), "the token is not valid before "),
    ] {
        let words: Vec<&str> = ["view", file].into_iter().chain(key).collect();
        let human = place.jwt(&words);
        let json = place.jwt(&[&words[..], &["--json"]].concat());
        for ran in [&human, &json] {
            assert_eq!(ran.code, Some(i32::from(!expected.is_empty())), "{words:?} {ran:?}");
            assert!(ran.stderr.contains(expected), "{words:?} {ran:?}");
            assert!(ran.stdout.contains("up=alice"), "what it says is shown all the same");
        }
        let issuer: Vec<&str> = key.map_or_else(Vec::new, |key| vec!["--issuer", key]);
        let check = place.jwt(&[&["check", file], &issuer[..]].concat());
        let code = if expected.is_empty() { 0 } else { 2 };
        assert_eq!((check.code, check.stderr.as_str()), (Some(code), ""), "{check:?}");
        assert!(check.stdout.contains(expected), "{check:?}");
    }
    assert_eq!(place.jwt(&["check", "later.jwt"]).code, Some(2));
}

#[test]
fn a_monitoring_system_is_told_what_is_wrong() {
    let place = Place::new("check");
    place.made(&["client", "c.jwt", "up=alice", "org.seed", "--public-key", "user.public"]);
    let org = place.read("org.public");
    for (options, expected) in [
        (&["--purpose", "server"][..], "CRITICAL c.jwt Crit:purpose client, not server OK:"),
        (&["--identity", "up=bob"], "CRITICAL c.jwt Crit:identity up=alice OK:"),
        (&["--client-opa"], "CRITICAL c.jwt Crit:no OPA policy OK:"),
        (&["--sub", "a", "--pub", "b"], "CRITICAL c.jwt Crit:subscribe a Crit:publish b OK:"),
        (&["--validity-min", "2h"], "CRITICAL c.jwt Crit:expires in 59m"),
        (&["--validity-max", "10m"], "CRITICAL c.jwt Crit:expires in 59m"),
        (&["--issuer", &org], "OK c.jwt OK:client token | expires=35"),
        (
            &["--purpose", "client", "--validity-min", "30m"],
            "OK c.jwt OK:client token, not verified | expires=35",
        ),
    ] {
        let ran = place.jwt(&[&["check", "c.jwt"], options].concat());
        assert!(ran.stdout.starts_with(expected), "{options:?} {ran:?}");
        let code = if expected.starts_with("OK") { 0 } else { 2 };
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(code), ""), "{options:?}");
    }
    let form = |form: &str| {
        place.jwt(&["check", "c.jwt", "--identity", "up=bob", "--format", form]).stdout
    };
    let json: Value = serde_json::from_str(&form("json")).expect("JSON");
    assert_eq!(json["status"], "CRITICAL");
    assert_eq!(json["critical"][0], "identity up=alice");
    assert_eq!(json["perf_data"][0]["name"], "expires");
    let line = "choria_jwt_status_code{item=\"c.jwt\",status=\"CRITICAL\"} 2\n";
    assert!(form("prometheus").ends_with(line));
    assert!(form("text").starts_with("c.jwt: CRITICAL\n\n  CRITICAL  identity up=alice\n"));
    let missing = place.jwt(&["check", "none.jwt"]);
    let text = "CRITICAL none.jwt Crit:cannot read the token none.jwt: No such file or directory (os error 2)\n";
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(2), text));
}

#[test]
fn mistakes_are_told_before_anything_is_written() {
    let place = Place::new("mistakes");
    place.write("public.key", &place.read("user.public"));
    place.write("ec.pem", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n");
    for (words, expected) in [
        (
            &["client", "x.jwt", "", "org.seed"][..],
            "choria: a caller id is needed\nhint: such as up=alice\n",
        ),
        (
            &["client", "x.jwt", "up=a", "org.seed", "--vault"],
            "choria: signing with Vault is not supported\nhint: sign with the file of a key\n",
        ),
        (
            &["client", "x.jwt", "up=a", "org.seed", "--issuer"],
            "choria: a chain of trust needs the claim public_key\nhint: give a --public-key\n",
        ),
        (
            &["client", "x.jwt", "up=a", "ec.pem"],
            "choria: ec.pem cannot be used: the PEM block does not hold an RSA key; ed25519 keys \
             are stored as 64 hexadecimal digits\n",
        ),
        (
            &["client", "x.jwt", "up=a", "org.seed", "--issuer", "--issued-by", "y.jwt"],
            "choria: only the organization makes chain issuers\n\
             hint: give --issuer or --issued-by, not both\n",
        ),
        (
            &["client", "x.jwt", "up=a", "org.public"],
            "choria: org.public holds a public key, and only a private one signs\n\
             hint: give the seed: the first file that choria jwt keys wrote\n",
        ),
        (
            &["client", "x.jwt", "up=a", "public.key", "--public-key", "user.public"],
            "choria: public.key holds a public key, and only a private one signs\n\
             hint: give the seed: the first file that choria jwt keys wrote\n",
        ),
        (
            &["client", "x.jwt", "up=a", "org.seed", "--public-key", "ec.pem"],
            "choria: ec.pem is not an ed25519 public key of 64 hexadecimal digits\n",
        ),
        (
            &["client", "x.jwt", "up=a", "org.seed", "--validity", "0"],
            "choria: error parsing option '--validity' with value '0': must be a second or more\n\
             hint: see choria jwt client --help\n",
        ),
        (
            &["server", "x.jwt", "n1", "user.public", "org.seed", "--governor"],
            "choria: --governor needs --stream-user\n",
        ),
        (
            &["provisioning", "x.jwt", "org.seed", "--token", "x"],
            "choria: either --urls or --srv is needed, not both\n\
             hint: they say where nodes find the broker that provisions them\n",
        ),
        (
            &["check", "x.jwt", "--query", "true"],
            "choria: --query is not supported\n\
             hint: look at the claims with choria jwt view --json\n",
        ),
        (
            &["view", "org.seed"],
            "choria: org.seed is no token: the token has 1 parts instead of 3\n",
        ),
        (&["veiw"], "choria: unknown command 'veiw'\nhint: did you mean choria jwt view?\n"),
    ] {
        assert_eq!(place.jwt(words), stderr(expected), "{words:?}");
    }
    assert!(!place.0.file("x.jwt").exists());
}
