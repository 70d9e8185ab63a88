//! What is spoken on a connection, as a state machine without I/O.

use super::cluster::Route;
use super::end::End;
use super::endpoint::{Endpoint, Phase};
use super::session::Session;
use super::shared::Context;

/// One of the protocols of a broker.
#[derive(Debug)]
pub(super) enum Protocol {
    /// A NATS client.
    Client(Session),
    /// Another broker of the cluster.
    Route(Box<Route>),
}

impl Protocol {
    /// Handles bytes that came.
    pub fn feed(
        &mut self,
        endpoint: &mut Endpoint,
        input: &[u8],
        cx: &mut Context,
    ) -> Result<(), End> {
        match self {
            Protocol::Client(session) => session.feed(endpoint, input, cx),
            Protocol::Route(route) => route.feed(endpoint, input, cx),
        }
    }

    /// Whether INFO may be sent at any time.
    pub fn takes_info(&self, endpoint: &Endpoint) -> bool {
        match self {
            Protocol::Client(session) => session.takes_info(endpoint),
            Protocol::Route(_) => false,
        }
    }

    /// Tells another broker that clients should not be sent here any more.
    pub fn say_lame_duck(&self, endpoint: &Endpoint, cx: &mut Context) {
        match self {
            // Clients are told in the INFO of all others.
            Protocol::Client(_) => {}
            Protocol::Route(route) if endpoint.phase == Phase::Open => route.say_info(endpoint, cx),
            Protocol::Route(_) => {}
        }
    }

    /// Decides again whether it may stay, and what it may do.
    pub fn readmit(&mut self, endpoint: &mut Endpoint, cx: &mut Context) -> Result<(), End> {
        match self {
            Protocol::Client(session) => session.readmit(endpoint, cx),
            // Routes have their own rules, which do not change.
            Protocol::Route(_) => Ok(()),
        }
    }

    /// The session of a client.
    pub fn session(&self) -> Option<&Session> {
        match self {
            Protocol::Client(session) => Some(session),
            Protocol::Route(_) => None,
        }
    }

    /// When the connection has to end because its token does, in milliseconds of the broker.
    pub fn expires_ms(&self) -> Option<u64> {
        self.session().and_then(Session::expires_ms)
    }

    /// The account that what it does counts for.
    pub fn account_index(&self) -> Option<u32> {
        self.session().map(|session| session.account().index)
    }

    /// Ends what it wants from others.
    pub fn withdraw(&mut self, endpoint: &Endpoint, cx: &mut Context) {
        match self {
            Protocol::Client(session) => session.drop_subs(cx),
            Protocol::Route(route) => route.withdraw(endpoint, cx),
        }
    }
}
