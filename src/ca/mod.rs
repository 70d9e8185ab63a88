//! An authority of our own: a folder with its key, what it issued and what it revoked.
//!
//! [`Ca`] is the folder. It issues ([`Order`]), revokes and lists; every change is one line of a journal that is on disk
//! before anybody gets the certificate. [`join`] makes and reads the tokens with which a node asks for its first
//! certificate, and [`Service`] answers such requests as bytes; who carries the bytes is not known here.
//!
//! Keys of nodes and people are made where they are used: only their public half comes here.

mod error;
pub mod files;
pub mod join;
mod journal;
pub mod names;
mod service;
mod store;
pub mod wire;

pub use error::{Error, Refused};
pub use journal::{By, Record, Revoked};
pub use names::Profile;
pub use service::Service;
pub use store::{Ca, LIFE, Order};

#[cfg(test)]
mod tests;
