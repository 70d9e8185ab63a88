//! Signatures of requests to AWS, version 4:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use std::time::SystemTime;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::credentials::Keys;
use crate::crypto::hash::sha256_hex;
use crate::crypto::mac::{Hash, mac};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Where a signature is good.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// What is signed.
#[derive(Debug, Clone)]
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    /// The path, encoded as it is sent.
    pub(super) path: &'a str,
    /// Names and values, encoded, joined by `&` in the order of the names.
    pub(super) query: &'a str,
    /// Names in lower case, in their order.
    pub(super) headers: &'a [(&'static str, String)],
    pub(super) body: &'a [u8],
}

/// The value of `X-Amz-Date`.
pub(super) fn stamp(now: SystemTime) -> String {
    let now = Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH);
    now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The value of `Authorization`. `stamp` is in the headers too.
pub(super) fn authorization(
    request: &Signed<'_>,
    scope: Scope<'_>,
    stamp: &str,
    keys: &Keys,
) -> String {
    let date = stamp.split('T').next().unwrap_or_default();
    let place = format!("{date}/{}/{}/aws4_request", scope.region, scope.service);
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let text = format!(
        "{ALGORITHM}\n{stamp}\n{place}\n{}",
        sha256_hex(canonical(request, &names).as_bytes())
    );
    let key = signing_key(keys.secret.expose(), date, scope);
    let signature = HEXLOWER.encode(&mac(Hash::Sha256, &key, text.as_bytes()));
    format!(
        "{ALGORITHM} Credential={}/{place}, SignedHeaders={names}, Signature={signature}",
        keys.id
    )
}

/// The request in the form that is hashed.
fn canonical(request: &Signed<'_>, names: &str) -> String {
    let mut text = format!("{}\n{}\n{}\n", request.method, request.path, request.query);
    for (name, value) in request.headers {
        text.push_str(name);
        text.push(':');
        text.push_str(&value.split_whitespace().collect::<Vec<_>>().join(" "));
        text.push('\n');
    }
    text.push_str(&format!("\n{names}\n{}", sha256_hex(request.body)));
    text
}

fn signing_key(secret: &str, date: &str, scope: Scope<'_>) -> Vec<u8> {
    let first = mac(Hash::Sha256, format!("AWS4{secret}").as_bytes(), date.as_bytes());
    [scope.region, scope.service, "aws4_request"]
        .iter()
        .fold(first, |key, part| mac(Hash::Sha256, &key, part.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::util::secret::Secret;

    const STAMP: &str = "20150830T123600Z";

    fn keys() -> Keys {
        Keys {
            id: "AKIDEXAMPLE".to_owned(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
            token: None,
        }
    }

    /// Of the published test suite of signature version 4, and of the guide's example with IAM.
    #[test]
    fn published_requests() {
        let host = ("host", "example.amazonaws.com".to_owned());
        let date = ("x-amz-date", STAMP.to_owned());
        let form = ("content-type", "application/x-www-form-urlencoded".to_owned());
        for (method, query, headers, body, expected) in [
            (
                "GET",
                "",
                vec![host.clone(), date.clone()],
                &b""[..],
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "POST",
                "",
                vec![host.clone(), date.clone()],
                b"",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "GET",
                "Param1=value1&Param2=value2",
                vec![host.clone(), date.clone()],
                b"",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "POST",
                "",
                vec![form, host, date],
                b"Param1=value1",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let request = Signed { method, path: "/", query, headers: &headers, body };
            let scope = Scope { region: "us-east-1", service: "service" };
            let got = authorization(&request, scope, STAMP, &keys());
            assert!(got.ends_with(&format!("Signature={expected}")), "{method} {query}: {got}");
            assert!(got.starts_with(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="
            ));
        }
    }

    #[test]
    fn the_published_key() {
        let scope = Scope { region: "us-east-1", service: "iam" };
        assert_eq!(
            HEXLOWER.encode(&signing_key(keys().secret.expose(), "20150830", scope)),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
    }

    #[test]
    fn stamps_are_utc() {
        assert_eq!(stamp(UNIX_EPOCH + Duration::from_secs(1_440_938_160)), STAMP);
    }
}
