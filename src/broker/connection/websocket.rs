//! A connection whose bytes travel in the frames of a WebSocket.

use super::Connection;
use crate::broker::end::{End, Reason};
use crate::broker::shared::Context;
use crate::broker::transport::Transport;
use crate::broker::websocket::Opening;

impl Connection {
    /// Handles bytes of a WebSocket, from its request on.
    pub(super) fn read_web_socket(
        &mut self,
        input: &mut [u8],
        cx: &mut Context,
    ) -> Result<(), End> {
        let Transport::WebSocket(channel) = &mut self.transport else { return Ok(()) };
        if channel.is_open() {
            return self.read_frames(input, cx);
        }
        let origins = cx.settings.websocket.as_ref().map(|settings| &settings.origins);
        match channel.open(input, origins.map_or(&[], Vec::as_slice)) {
            Opening::Waits => Ok(()),
            Opening::Refused(refusal) => {
                channel.pump(&self.endpoint.link, cx.now_ms);
                Err(End::silent(Reason::Upgrade(refusal.reason)))
            }
            Opening::Done { mut rest, forwarded_for } => {
                channel.pump(&self.endpoint.link, cx.now_ms);
                self.endpoint.peer.forwarded_for = forwarded_for;
                self.await_connect(cx);
                self.read_frames(&mut rest, cx)
            }
        }
    }

    fn read_frames(&mut self, input: &mut [u8], cx: &mut Context) -> Result<(), End> {
        // Taken out, because the rest of the connection has to do with what is in the frames.
        let transport = std::mem::replace(&mut self.transport, Transport::Plain);
        let Transport::WebSocket(mut channel) = transport else { return Ok(()) };
        let result = channel.receive(input, |data| self.feed(data, cx));
        let link = &self.endpoint.link;
        let is_over = matches!(result, Ok(true));
        if is_over {
            cx.flush();
        }
        if is_over || channel.wants_write() {
            channel.pump(link, cx.now_ms);
        }
        if is_over {
            channel.end(link);
        }
        self.transport = Transport::WebSocket(channel);
        match result? {
            true => Err(End::silent(Reason::ClientClosed)),
            false => Ok(()),
        }
    }
}
