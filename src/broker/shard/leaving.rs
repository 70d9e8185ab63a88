//! The end of an event loop: slowly as a lame duck, or at once.

use std::sync::atomic::Ordering;

use super::Shard;
use crate::broker::end::{End, Reason};
use crate::broker::endpoint::Phase;
use crate::broker::home::Mail;
use crate::broker::listeners::Kind;

impl Shard {
    pub(super) fn start_lame_duck(&mut self) {
        self.listeners.close();
        self.accept_again_ms = None;
        self.lame_since_ms = Some(self.cx.now_ms);
        self.lame_total = self.clients().len();
        self.tell_clients();
        for token in self.connections.tokens() {
            if let Some(connection) = self.connections.peek(token) {
                connection.protocol.say_lame_duck(&connection.endpoint, &mut self.cx);
            }
        }
    }

    /// The connections that are not of this process or of other brokers.
    fn clients(&mut self) -> Vec<u64> {
        let mut tokens = self.connections.tokens();
        tokens.retain(|token| {
            let kind = self.connections.peek(*token).map(|it| it.endpoint.peer.kind);
            matches!(kind, Some(Kind::Client | Kind::WebSocket))
        });
        tokens
    }

    /// Closes as many connections as the time since the announcement asks for.
    pub(super) fn go_on_as_lame_duck(&mut self) {
        let Some(since) = self.lame_since_ms else { return };
        let settings = &self.cx.settings;
        let grace = settings.lame_duck_grace.as_millis() as u64;
        let duration = settings.lame_duck_duration.as_millis() as u64;
        let elapsed = self.cx.now_ms.saturating_sub(since);
        if elapsed < grace {
            return;
        }
        let spread = duration.saturating_sub(grace).max(1);
        let part = (elapsed - grace).min(spread);
        let closed = (self.lame_total as u64 * part).div_ceil(spread) as usize;
        let left = self.lame_total.saturating_sub(closed);
        let clients = self.clients();
        let surplus = clients.len().saturating_sub(left);
        self.end_each(clients.into_iter().take(surplus), Reason::LameDuck);
    }

    /// Ends every connection: the broker stops.
    pub(super) fn end_all(&mut self) {
        self.end_each(self.connections.tokens().into_iter(), Reason::Shutdown);
    }

    fn end_each(&mut self, tokens: impl Iterator<Item = u64>, reason: Reason) {
        for token in tokens {
            let reason = reason.clone();
            self.serve(token, |_, _| Err(End::silent(reason)));
        }
    }

    /// Stops accepting, and handles what has arrived already. The last loop that is done with that lets all of them close
    /// their connections: what one of them read is in the queues of the others by then.
    pub(super) fn start_stopping(&mut self, within_ms: u64) {
        self.listeners.close();
        self.accept_again_ms = None;
        self.stop_at_ms = Some(self.cx.now_ms + within_ms);
        self.drain();
        if self.cx.shared.undrained.fetch_sub(1, Ordering::AcqRel) == 1 {
            for home in &self.cx.shared.homes {
                home.post(Mail::Close);
            }
        }
    }

    /// Reads what the kernel holds for the connections of clients. All loops together read no more than one receiver of
    /// everything has room for, because producers are not slowed down any more.
    fn drain(&mut self) {
        let mut budget = self.cx.settings.pending_bytes_max / 2 / self.cx.shared.homes.len();
        for token in self.connections.tokens() {
            let mut goes_on = true;
            while std::mem::take(&mut goes_on) && budget > 0 {
                self.serve(token, |connection, shard| {
                    if connection.endpoint.phase == Phase::Open && !shard.is_over() {
                        let count = connection.read(&mut shard.buffers, &mut shard.cx)?;
                        goes_on = count > 0;
                        budget = budget.saturating_sub(count);
                        shard.cx.flush();
                    }
                    Ok(())
                });
            }
        }
        self.finish_turn();
    }

    /// Whether the time for stopping is over.
    fn is_over(&self) -> bool {
        self.stop_at_ms.is_some_and(|at| self.cx.shared.now_ms() >= at)
    }

    /// How long a connection that ends may take for what waits for it.
    pub(super) fn patience_ms(&self, reason: &Reason) -> u64 {
        let settings = &self.cx.settings;
        match (reason, self.stop_at_ms) {
            (Reason::Shutdown, Some(at)) => at.saturating_sub(self.cx.now_ms),
            (Reason::LameDuck, _) => settings.write_deadline.as_millis() as u64,
            _ => settings.linger.as_millis() as u64,
        }
    }
}
