//! Waiting for messages up to a moment.

use std::time::{Duration, Instant};

use smol::Timer;
use smol::future::or;

use crate::nats::client::{Message, Subscription};

/// How long after the moment messages that are queued already are still taken.
const QUEUED_GRACE: Duration = Duration::from_secs(1);

/// The next message before `until`; nothing when the moment has come or the subscription has ended. What had arrived
/// by then is still handed out.
pub(super) async fn next_before(
    subscription: &mut Subscription,
    until: Instant,
) -> Option<Message> {
    if Instant::now() < until + QUEUED_GRACE
        && let Some(message) = subscription.try_next()
    {
        return Some(message);
    }
    let timer = async {
        Timer::at(until).await;
        None
    };
    or(subscription.next(), timer).await
}
