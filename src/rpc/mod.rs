//! The client library: discover nodes, send requests, collect replies.
//!
//! Everything of a process goes over one connection. Start at [`Client`]: [`Client::discover`] finds nodes,
//! [`Client::request`] asks them and hands out a [`ReplyStream`]. Descriptions of agents come from [`ddl_files`].

mod client;
pub mod ddl_files;
mod discovery;
mod error;
pub mod flatfile;
pub mod identity;
mod limit;
mod options;
mod parcel;
mod reply;
mod request;
pub mod signing;
mod stats;
mod trace;
mod tracker;
mod wait;

pub use client::{Client, ClientOptions, Signer};
pub use discovery::{Found, Pings, Pong, WINDOW};
pub use error::Error;
pub use limit::{Limit, LimitError, LimitMethod, LimitSize};
pub use options::{BATCH_SLEEP_DEFAULT, Discovery, DiscoveryMethod, RequestOptions, Targets};
pub use reply::NodeReply;
pub use request::{REPLIES_QUEUED_MAX, ReplyStream};
pub use stats::{Stats, UNEXPECTED_NAMES_MAX};
pub use trace::{Path, Paths};
