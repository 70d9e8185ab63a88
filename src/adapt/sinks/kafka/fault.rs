//! Why a broker could not be used.

use std::fmt;
use std::io;
use std::time::Duration;

use super::codes::Code;
use super::messages::Api;
use super::wire::WireFault;
use crate::net::dial::DialError;
use crate::net::tls::TlsError;

/// Why a broker could not be used. What is left unanswered then has an unknown fate.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no connection.
    Dial(DialError),
    /// There is no TLS.
    Tls(TlsError),
    /// The connection broke.
    Io(io::Error),
    /// It took longer than it may.
    Late(Duration),
    /// A response is longer than any may be.
    Large(i64),
    /// A response is not what the protocol says.
    Wire(Api, WireFault),
    /// The responses do not belong to the requests.
    Order,
    /// The broker speaks no version of a request that is spoken here.
    Version(Api, Option<(i16, i16)>),
    /// The broker refuses a request.
    Code(Api, Code),
    /// The login failed.
    Login(String),
    /// What the broker says of its cluster cannot be.
    Cluster(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Dial(error) => error.fmt(f),
            Fault::Tls(error) => error.fmt(f),
            Fault::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("the broker closed the connection")
            }
            Fault::Io(error) => write!(f, "the connection broke: {error}"),
            Fault::Late(limit) => write!(f, "no answer within {} s", limit.as_secs_f32()),
            Fault::Large(length) => write!(
                f,
                "an answer of {length} bytes cannot be: is this the port of a Kafka broker, and TLS as it should be?"
            ),
            Fault::Wire(api, fault) => write!(f, "the answer to {api:?} cannot be read: {fault}"),
            Fault::Order => f.write_str("an answer belongs to another request"),
            Fault::Version(api, Some((oldest, newest))) => {
                let (from, to) = api.versions();
                write!(f, "it speaks {api:?} {oldest} to {newest}, and here are {from} to {to}")
            }
            Fault::Version(api, None) => write!(f, "it does not know {api:?}"),
            Fault::Code(api, code) => write!(f, "{api:?} is refused: {code}"),
            Fault::Login(reason) => write!(f, "login: {reason}"),
            Fault::Cluster(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Fault {}
