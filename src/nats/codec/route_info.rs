//! The JSON of `INFO` and `CONNECT` on routes (nats-server `server/route.go`, type connectInfo; `server/server.go`, type
//! Info).

use serde::{Deserialize, Serialize};

/// What a broker says about itself to another one, or about a third one it knows. Fields without value are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteInfo {
    /// Unique for each start of a broker.
    pub server_id: String,
    /// Its name.
    pub server_name: String,
    /// The NATS version whose features it has, `2.x.y`.
    pub version: String,
    /// Protocol level of routes; 2 means that accounts are named.
    pub proto: i64,
    /// Toolchain it was built with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub go: String,
    /// Address its routes listen on.
    pub host: String,
    /// Port of it.
    pub port: u16,
    /// `nats-route://host:port/` to dial, for those who hear of it from somebody else.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ip: String,
    /// Headers are supported.
    pub headers: bool,
    /// Whoever dials must give a user and a password.
    #[serde(skip_serializing_if = "is_false")]
    pub auth_required: bool,
    /// Routes are encrypted.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_required: bool,
    /// Whoever dials must have a certificate.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_verify: bool,
    /// Bytes of the largest message of its clients.
    pub max_payload: i64,
    /// Text to sign; of no use on routes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// Name of the cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Addresses for clients, `host:port`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect_urls: Vec<String>,
    /// The same for clients that use WebSocket.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ws_connect_urls: Vec<String>,
    /// The broker is about to stop.
    #[serde(skip_serializing_if = "is_false")]
    pub ldm: bool,
    /// LS+, LS- and LMSG are understood.
    #[serde(skip_serializing_if = "is_false")]
    pub lnoc: bool,
    /// LS- names its origin.
    #[serde(skip_serializing_if = "is_false")]
    pub lnocu: bool,
    /// The connection is for one account only.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub route_account: String,
}

/// What the one who dialled says first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteConnect {
    /// Messages of the sender's own clients come back; of no meaning on routes.
    pub echo: bool,
    /// Asks for `+OK`.
    pub verbose: bool,
    /// Asks for checks.
    pub pedantic: bool,
    /// User name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Password.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pass: String,
    /// The route is to be encrypted.
    pub tls_required: bool,
    /// Server id of the one who dialled.
    pub name: String,
    /// Headers are supported.
    pub headers: bool,
    /// Name of the cluster.
    pub cluster: String,
    /// LS+, LS- and LMSG are understood.
    #[serde(skip_serializing_if = "is_false")]
    pub lnoc: bool,
    /// LS- names its origin.
    #[serde(skip_serializing_if = "is_false")]
    pub lnocu: bool,
    /// Only clients name their language.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lang: String,
    /// Only gateways name theirs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway: String,
}

impl RouteInfo {
    /// Reads the JSON of an INFO line; unknown fields are ignored.
    pub fn decode(json: &[u8]) -> Result<RouteInfo, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// The whole INFO line.
    pub fn encode_line(&self) -> Vec<u8> {
        line("INFO", self)
    }
}

impl RouteConnect {
    /// Reads the JSON of a CONNECT line; unknown fields are ignored.
    pub fn decode(json: &[u8]) -> Result<RouteConnect, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// The whole CONNECT line.
    pub fn encode_line(&self) -> Vec<u8> {
        line("CONNECT", self)
    }
}

fn line(verb: &str, value: &impl Serialize) -> Vec<u8> {
    let json = serde_json::to_string(value).unwrap_or_default();
    format!("{verb} {json}\r\n").into_bytes()
}

fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out() {
        let info = RouteInfo { server_id: "A".into(), port: 5222, ..RouteInfo::default() };
        assert_eq!(
            String::from_utf8_lossy(&info.encode_line()),
            "INFO {\"server_id\":\"A\",\"server_name\":\"\",\"version\":\"\",\"proto\":0,\"host\":\"\",\
             \"port\":5222,\"headers\":false,\"max_payload\":0}\r\n"
        );
        let connect = RouteConnect { name: "A".into(), headers: true, ..RouteConnect::default() };
        assert_eq!(
            String::from_utf8_lossy(&connect.encode_line()),
            "CONNECT {\"echo\":false,\"verbose\":false,\"pedantic\":false,\"tls_required\":false,\
             \"name\":\"A\",\"headers\":true,\"cluster\":\"\"}\r\n"
        );
    }

    #[test]
    fn what_real_brokers_say() {
        let text = br#"{"server_id":"NB","server_name":"n","version":"2.14.2","proto":3,"git_commit":"x",
            "go":"go1.26","host":"0.0.0.0","port":6222,"headers":true,"max_payload":1048576,"client_id":5,
            "nonce":"abc","cluster":"C","compression":"accept","lnoc":true,"lnocu":true,"route_pool_size":3,
            "gossip_mode":1,"connect_urls":["1.2.3.4:4222"],"xkey":"X"}"#;
        let info = RouteInfo::decode(text).expect("valid");
        assert_eq!((info.server_id.as_str(), info.port, info.lnocu), ("NB", 6222, true));
        assert_eq!(info.connect_urls, ["1.2.3.4:4222"]);
        let text = br#"{"echo":true,"verbose":false,"pedantic":false,"user":"u","pass":"p","tls_required":false,
            "name":"NB","headers":true,"cluster":"C","dynamic":false,"lnoc":true,"lnocu":true,"gateway":""}"#;
        let connect = RouteConnect::decode(text).expect("valid");
        assert_eq!((connect.user.as_str(), connect.cluster.as_str()), ("u", "C"));
        assert!(RouteConnect::decode(b"{\"user\":1}").is_err());
        assert!(RouteInfo::decode(b"{\"port\":-1}").is_err());
    }
}
