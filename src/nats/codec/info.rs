//! The JSON of `INFO` and `CONNECT` (nats-server `server/server.go` type Info, `server/client.go` type ClientOpts).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a broker says about itself. Fields without value are left out, never `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerInfo {
    /// Unique for each start of a broker.
    pub server_id: String,
    /// Its name.
    pub server_name: String,
    /// The NATS version whose features it has, `2.x.y`.
    pub version: String,
    /// Protocol level: 1 allows INFO at any time.
    pub proto: i64,
    /// Commit it was built from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub git_commit: String,
    /// Toolchain it was built with.
    pub go: String,
    /// Advertised host.
    pub host: String,
    /// Advertised port.
    pub port: u16,
    /// Headers are supported.
    pub headers: bool,
    /// A connection must authenticate.
    #[serde(skip_serializing_if = "is_false")]
    pub auth_required: bool,
    /// The connection must be upgraded to TLS.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_required: bool,
    /// A client certificate is demanded.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_verify: bool,
    /// The connection may be upgraded to TLS.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_available: bool,
    /// Bytes of the largest message.
    pub max_payload: i64,
    /// Number of the connection.
    #[serde(skip_serializing_if = "is_zero")]
    pub client_id: u64,
    /// Address the broker sees.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_ip: String,
    /// Text to sign.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// Name of the cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Streams are served.
    #[serde(skip_serializing_if = "is_false")]
    pub jetstream: bool,
    /// Other brokers, `host:port`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect_urls: Vec<String>,
    /// The broker is about to stop.
    #[serde(skip_serializing_if = "is_false")]
    pub ldm: bool,
    /// This INFO describes the connection, right after its first PONG.
    #[serde(skip_serializing_if = "is_false")]
    pub connect_info: bool,
    /// Account the connection is in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remote_account: String,
    /// What only our broker says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choria: Option<ChoriaInfo>,
}

/// Our own part of INFO.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChoriaInfo {
    /// Version of this program.
    pub version: String,
}

impl ServerInfo {
    /// Reads the JSON of an INFO line; unknown fields are ignored.
    pub fn decode(json: &[u8]) -> Result<ServerInfo, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// The whole INFO line. There is a blank before its end, as in nats-server.
    pub fn encode_line(&self) -> Vec<u8> {
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("INFO {json} \r\n").into_bytes()
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// What a client says about itself. A field that is missing keeps the value it had. Its `Debug` form shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Answer `+OK`; true unless the client says otherwise.
    pub verbose: bool,
    /// Check publish subjects; true unless the client says otherwise.
    pub pedantic: bool,
    /// Deliver the connection's own messages to it; true unless the client says otherwise.
    pub echo: bool,
    /// Headers are understood.
    pub headers: bool,
    /// A request nobody hears is to be answered with 503.
    pub no_responders: bool,
    /// Protocol level, 0 or 1.
    pub protocol: i64,
    /// The connection's name.
    pub name: String,
    /// Client library.
    pub lang: String,
    /// Its version.
    pub version: String,
    /// User name.
    pub user: String,
    /// Password.
    pub pass: String,
    /// Token.
    pub auth_token: String,
    /// Signature over the nonce.
    pub sig: String,
    /// An account was asked for, which no client may.
    pub asks_for_account: bool,
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("name", &self.name)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            protocol: 0,
            name: String::new(),
            lang: String::new(),
            version: String::new(),
            user: String::new(),
            pass: String::new(),
            auth_token: String::new(),
            sig: String::new(),
            asks_for_account: false,
        }
    }
}

/// A CONNECT that is not a JSON object, or has a field of the wrong type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadConnect;

impl ConnectOptions {
    /// Merges the JSON of a CONNECT line over these options. Names are compared without case, unknown ones ignored, as
    /// Go does it.
    pub fn merge(&mut self, json: &[u8]) -> Result<(), BadConnect> {
        // Like Go, take `null` for an object without fields.
        let fields: Option<Map<String, Value>> =
            serde_json::from_slice(json).map_err(|_| BadConnect)?;
        for (name, value) in fields.unwrap_or_default() {
            if !value.is_null() {
                self.set(&name.to_ascii_lowercase(), value)?;
            }
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value) -> Result<(), BadConnect> {
        match name {
            "verbose" => self.verbose = truth(&value)?,
            "pedantic" => self.pedantic = truth(&value)?,
            "echo" => self.echo = truth(&value)?,
            "headers" => self.headers = truth(&value)?,
            "no_responders" => self.no_responders = truth(&value)?,
            "tls_required" => drop(truth(&value)?),
            "protocol" => self.protocol = value.as_i64().ok_or(BadConnect)?,
            "name" => self.name = text(value)?,
            "lang" => self.lang = text(value)?,
            "version" => self.version = text(value)?,
            "user" => self.user = text(value)?,
            "pass" => self.pass = text(value)?,
            "auth_token" => self.auth_token = text(value)?,
            "sig" => self.sig = text(value)?,
            "jwt" | "nkey" => drop(text(value)?),
            "account" => self.asks_for_account |= !text(value)?.is_empty(),
            "new_account" => self.asks_for_account |= truth(&value)?,
            _ => {}
        }
        Ok(())
    }
}

fn truth(value: &Value) -> Result<bool, BadConnect> {
    value.as_bool().ok_or(BadConnect)
}

fn text(value: Value) -> Result<String, BadConnect> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(BadConnect),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_a_connect_are_not_shown() {
        let mut options = ConnectOptions::default();
        options
            .merge(br#"{"user":"ann","pass":"hidden","auth_token":"hidden","sig":"hidden"}"#)
            .unwrap();
        let text = format!("{options:?}");
        assert!(text.contains("ann") && !text.contains("hidden"), "{text}");
    }

    #[test]
    fn info_leaves_out_what_it_does_not_know() {
        let info = ServerInfo {
            server_id: "A".into(),
            max_payload: 5,
            headers: true,
            ..Default::default()
        };
        assert_eq!(
            String::from_utf8_lossy(&info.encode_line()),
            "INFO {\"server_id\":\"A\",\"server_name\":\"\",\"version\":\"\",\"proto\":0,\"go\":\"\",\"host\":\"\",\
             \"port\":0,\"headers\":true,\"max_payload\":5} \r\n"
        );
        let read = ServerInfo::decode(
            b"{\"server_id\":\"A\",\"headers\":true,\"max_payload\":5,\"xkey\":\"?\"}",
        );
        assert_eq!(read.ok(), Some(info));
    }

    #[test]
    fn connect_defaults_and_merging() {
        let mut options = ConnectOptions::default();
        assert_eq!(options.merge(b"{}"), Ok(()));
        assert_eq!((options.verbose, options.pedantic, options.echo), (true, true, true));
        assert_eq!(options.merge(b"{\"Verbose\":false,\"NAME\":\"x\",\"unknown\":[1]}"), Ok(()));
        assert_eq!(options.merge(b"{\"pedantic\":false,\"name\":null}"), Ok(()));
        assert_eq!((options.verbose, options.pedantic, options.echo), (false, false, true));
        assert_eq!(options.name, "x");
    }

    #[test]
    fn wrong_types_are_refused() {
        for json in [
            "",
            "[]",
            "1",
            "{\"verbose\":1}",
            "{\"name\":1}",
            "{\"protocol\":\"1\"}",
            "{\"jwt\":{}}",
            "{",
        ] {
            let result = ConnectOptions::default().merge(json.as_bytes());
            assert_eq!(result, Err(BadConnect), "{json}");
        }
    }
}
