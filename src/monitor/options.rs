//! What is asked for, read from the query of a page or the JSON of a request.

use serde::Deserialize;

use crate::http::Query;

/// A parameter that cannot be read, in the words of nats-server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadOption(pub String);

/// Options of `connz`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct ConnzOptions {
    pub sort: String,
    pub auth: bool,
    pub subscriptions: bool,
    pub subscriptions_detail: bool,
    pub offset: i64,
    pub limit: i64,
    pub cid: u64,
    pub mqtt_client: String,
    /// 0 open, 1 closed, 2 both.
    pub state: i64,
    pub user: String,
    pub acc: String,
    pub filter_subject: String,
}

/// Options of `subsz`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct SubszOptions {
    pub offset: i64,
    pub limit: i64,
    pub subscriptions: bool,
    pub account: String,
    pub test: String,
}

/// Options of `accountz`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct AccountzOptions {
    pub account: String,
}

/// Options of `accstatz`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct AccountStatzOptions {
    pub accounts: Vec<String>,
    pub include_unused: bool,
}

/// Options of `healthz`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct HealthzOptions {
    pub account: String,
    pub stream: String,
    pub consumer: String,
    pub details: bool,
}

impl ConnzOptions {
    pub fn of(query: &Query) -> Result<ConnzOptions, BadOption> {
        let (auth, wants_detail) = (flag(query, "auth")?, is_detail(query));
        Ok(ConnzOptions {
            sort: query.value("sort").to_owned(),
            auth,
            subscriptions: !wants_detail && flag(query, "subs")?,
            subscriptions_detail: wants_detail,
            offset: number(query, "offset")?,
            limit: number(query, "limit")?,
            cid: unsigned(query, "cid")?,
            mqtt_client: query.value("mqtt_client").to_owned(),
            state: state(query)?,
            user: query.value("user").to_owned(),
            acc: query.value("acc").to_owned(),
            filter_subject: query.value("filter_subject").to_owned(),
        })
    }
}

impl SubszOptions {
    pub fn of(query: &Query) -> Result<SubszOptions, BadOption> {
        Ok(SubszOptions {
            subscriptions: flag(query, "subs")?,
            offset: number(query, "offset")?,
            limit: number(query, "limit")?,
            account: query.value("acc").to_owned(),
            test: query.value("test").to_owned(),
        })
    }
}

impl HealthzOptions {
    pub fn of(query: &Query) -> Result<HealthzOptions, BadOption> {
        for name in ["js-enabled", "js-enabled-only", "js-server-only", "js-meta-only"] {
            flag(query, name)?;
        }
        Ok(HealthzOptions {
            account: query.value("account").to_owned(),
            stream: query.value("stream").to_owned(),
            consumer: query.value("consumer").to_owned(),
            details: flag(query, "details")?,
        })
    }
}

/// Whether `subs` asks for more than names.
pub(super) fn is_detail(query: &Query) -> bool {
    query.value("subs").eq_ignore_ascii_case("detail")
}

/// A truth value in the spellings that Go reads; false when it is not there.
pub(super) fn flag(query: &Query, name: &str) -> Result<bool, BadOption> {
    match query.value(name) {
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        other => Err(BadOption(format!(
            "Error decoding boolean for '{name}': strconv.ParseBool: parsing {other:?}: invalid syntax"
        ))),
    }
}

/// A whole number; 0 when it is not there.
pub(super) fn number(query: &Query, name: &str) -> Result<i64, BadOption> {
    decimal(query.value(name)).map_err(|why| {
        let text = query.value(name);
        BadOption(format!("Error decoding int for '{name}': strconv.Atoi: parsing {text:?}: {why}"))
    })
}

fn unsigned(query: &Query, name: &str) -> Result<u64, BadOption> {
    decimal(query.value(name)).map_err(|why| {
        let text = query.value(name);
        BadOption(format!(
            "Error decoding uint64 for '{name}': strconv.ParseUint: parsing {text:?}: {why}"
        ))
    })
}

fn decimal<T: std::str::FromStr<Err = std::num::ParseIntError> + Default>(
    text: &str,
) -> Result<T, &'static str> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    if text.is_empty() {
        return Ok(T::default());
    }
    text.parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        PosOverflow | NegOverflow => "value out of range",
        _ => "invalid syntax",
    })
}

fn state(query: &Query) -> Result<i64, BadOption> {
    let text = query.value("state");
    match text.to_ascii_lowercase().as_str() {
        "" | "open" | "0" => Ok(0),
        "closed" | "1" => Ok(1),
        "any" | "all" | "2" => Ok(2),
        _ => Err(BadOption(format!("Error decoding state for {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connz_is_asked() {
        let of = |text: &str| ConnzOptions::of(&Query::parse(text));
        let options = of("sort=rtt&auth=1&subs=Detail&offset=-3&limit=5&cid=7&state=ANY&acc=a");
        let expected = ConnzOptions {
            sort: "rtt".into(),
            auth: true,
            subscriptions_detail: true,
            offset: -3,
            limit: 5,
            cid: 7,
            state: 2,
            acc: "a".into(),
            ..ConnzOptions::default()
        };
        assert_eq!(options, Ok(expected));
        assert_eq!(of(""), Ok(ConnzOptions::default()));
        for (text, expected) in [
            ("auth=yes", "boolean for 'auth': strconv.ParseBool: parsing \"yes\": invalid syntax"),
            ("subs=x", "boolean for 'subs': strconv.ParseBool: parsing \"x\": invalid syntax"),
            ("limit=x", "int for 'limit': strconv.Atoi: parsing \"x\": invalid syntax"),
            (
                "offset=99999999999999999999",
                "int for 'offset': strconv.Atoi: parsing \"99999999999999999999\": value out of range",
            ),
            ("cid=-1", "uint64 for 'cid': strconv.ParseUint: parsing \"-1\": invalid syntax"),
            ("state=gone", "state for gone"),
        ] {
            assert_eq!(of(text), Err(BadOption(format!("Error decoding {expected}"))), "{text}");
        }
    }
}
