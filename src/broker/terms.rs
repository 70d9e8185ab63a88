//! What holds for a subscription beside its subject. Most subscriptions have no terms.

use std::sync::{Arc, OnceLock, Weak};

use super::interest::Sub;
use super::permissions::{List, Replies};

/// The terms of one subscription.
#[derive(Debug, Default)]
pub(super) struct Terms {
    /// Subjects it does not get although it asks for them.
    pub denied: Option<Arc<List>>,
    /// Where requests are noted that its connection may answer.
    pub replies: Option<Arc<Replies>>,
    /// The subscription of another account that this one stands for.
    pub original: Option<Weak<Sub>>,
    /// The subscriptions in other accounts that stand for this one.
    pub shadows: OnceLock<Box<[Arc<Sub>]>>,
}

impl Terms {
    /// Whether the subscription stands for one of another account.
    pub fn is_shadow(&self) -> bool {
        self.original.is_some()
    }

    /// The terms of a subscription that stands for one with these terms.
    pub fn for_shadow(&self, original: &Arc<Sub>) -> Terms {
        Terms {
            denied: self.denied.clone(),
            replies: self.replies.clone(),
            original: Some(Arc::downgrade(original)),
            shadows: OnceLock::new(),
        }
    }

    /// Whether messages on a subject are kept from it.
    pub fn denies(&self, subject: &[u8]) -> bool {
        self.denied.as_ref().is_some_and(|list| list.has(subject))
    }
}
