//! What a running broker can tell about itself, as data.
//!
//! Counters are read where they are. Everything about single connections belongs to their event loops: a question goes
//! to each of them as mail, each answers over a channel from what it has at that moment, and the asker puts the answers
//! together. Nobody takes a lock for it, and no answer is larger than what was asked for: a loop sends the best of its
//! connections in the order that is asked for, up to the last one on the page.
//!
//! `question` is asked by an [`Observer`], answered in `collect`; `record` has what a connection counts about itself,
//! `closed` the last ones that ended, `event` what is told without being asked.

mod closed;
mod collect;
mod event;
mod observer;
mod question;
mod record;
mod report;
mod stamp;
mod user_info;

pub(super) use closed::Closed;
pub(super) use collect::{Sources, last_report, report};
pub(super) use event::Events;
pub(super) use question::Question;
pub(super) use record::{Libraries, Record};
pub(super) use user_info::{USER_INFO, user_info};

pub use event::Event;
pub use observer::Observer;
pub use question::{ConnectionQuery, ConnectionState, Detail, Order, Page, SubscriptionQuery};
pub use record::Library;
pub use report::{
    AccountReport, CertificateReport, ConnectionReport, Lookups, SubscriptionReport, Traffic,
};
pub use stamp::ServerStamp;
