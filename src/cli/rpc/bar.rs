//! The progress bar on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::cli::render::progress;
use crate::cli::render::style::Style;

/// The bar is drawn at most this often.
const REDRAW: Duration = Duration::from_millis(50);

/// The progress bar, pinned to the last line of the terminal while results scroll above it.
pub(super) struct Bar {
    is_wanted: bool,
    pub(super) style: Style,
    total: usize,
    done: usize,
    started: Instant,
    drawn: Option<Instant>,
    is_visible: bool,
}

impl Bar {
    pub(super) fn new(is_wanted: bool, coloured: bool) -> Bar {
        let style = Style::new(coloured && io::stderr().is_terminal());
        Bar {
            is_wanted,
            style,
            total: 0,
            done: 0,
            started: Instant::now(),
            drawn: None,
            is_visible: false,
        }
    }

    pub(super) fn begin(&mut self, total: usize) {
        self.total = total;
        self.started = Instant::now();
        if self.is_wanted {
            eprint_part("\n");
        }
        self.draw();
    }

    pub(super) fn count(&mut self) {
        self.done += 1;
    }

    pub(super) fn draw(&mut self) {
        let is_recent = self.drawn.is_some_and(|moment| moment.elapsed() < REDRAW);
        if !self.is_wanted || is_recent {
            return;
        }
        let elapsed = (self.done > 0).then(|| self.started.elapsed());
        match progress::bar(self.done, self.total, elapsed, columns(), self.style) {
            Some(bar) => eprint_part(&format!("\r\x1b[2K{bar}")),
            None => self.is_wanted = false,
        }
        self.is_visible = self.is_wanted;
        self.drawn = Some(Instant::now());
    }

    pub(super) fn clear(&mut self) {
        if self.is_visible {
            eprint_part("\r\x1b[2K");
            self.is_visible = false;
        }
    }

    /// Takes the bar off the screen: the figures at the end say more.
    pub(super) fn end(&mut self) {
        self.clear();
        self.is_wanted = false;
    }
}

/// Columns of the terminal standard error goes to.
fn columns() -> usize {
    rustix::termios::tcgetwinsize(rustix::stdio::stderr()).map_or(80, |size| match size.ws_col {
        0 => 80,
        columns => usize::from(columns),
    })
}

/// Standard error is only for people: when it is gone nobody misses anything.
pub(super) fn eprint_part(text: &str) {
    let mut stderr = io::stderr();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}
