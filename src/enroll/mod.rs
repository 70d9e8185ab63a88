//! Getting a certificate from an authority elsewhere.
//!
//! [`join`] gets the first one through a broker with a join token, [`renewal`] keeps it fresh through the connection of a
//! server. Private keys never leave the machine.

pub mod join;
pub mod renewal;
