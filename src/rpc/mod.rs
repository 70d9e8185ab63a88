//! The client library: discover nodes, send requests, collect replies.

pub mod ddl_files;
pub mod flatfile;
pub mod identity;
mod limit;
mod stats;

pub use limit::{Limit, LimitError, LimitMethod, LimitSize};
pub use stats::{Stats, UNEXPECTED_NAMES_MAX};
