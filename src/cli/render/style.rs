//! Colours, or none.

/// Paints words for a terminal. Every function gives the words back unchanged when colours are off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    coloured: bool,
}

impl Style {
    /// No colours at all.
    pub const PLAIN: Style = Style { coloured: false };

    /// Colours when `coloured`; the caller has looked at the terminal, `NO_COLOR` and the configuration.
    pub fn new(coloured: bool) -> Style {
        Style { coloured }
    }

    /// Failures.
    pub fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// Things to look at.
    pub fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// All is well.
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Headings.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.coloured && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }
}

/// Text from a node made safe to print: control characters other than line breaks and tabs become visible.
///
/// A node must not be able to move the cursor or retitle the window of whoever asks it something.
pub fn printable(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .flat_map(|c| {
            let keep = c == '\n' || c == '\t' || !c.is_control();
            let escaped = if keep { None } else { Some(c.escape_default()) };
            keep.then_some(c).into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_only_when_wanted() {
        assert_eq!(Style::new(true).red("no"), "\x1b[31mno\x1b[0m");
        assert_eq!(Style::new(true).red(""), "");
        assert_eq!(Style::PLAIN.red("no"), "no");
    }

    #[test]
    fn control_characters_become_visible() {
        assert_eq!(printable("a\tb\r\nc"), "a\tb\nc");
        assert_eq!(printable("\x1b[2Jx"), "\\u{1b}[2Jx");
    }
}
