//! Writes one page in the language of man(7).

use std::fmt::Write;

/// Lines of the source are broken before this column.
const WIDTH: usize = 78;

/// A page that is being written.
pub struct Roff {
    text: String,
    /// Right below a heading a paragraph needs no mark, and mandoc complains about one.
    is_below_heading: bool,
}

impl Roff {
    /// Begins a page: its name in capital letters, its section, its date and what it is a page of.
    pub fn new(title: &str, section: char, date: &str, source: &str) -> Self {
        let title = escape(title);
        // Names are neither hyphenated, because people copy them, nor torn apart to fill a line.
        let text = format!(
            ".\\\" Made by choria tool manual: change the tables and texts of the program, not this page.\n\
             .TH {title} {section} {date} \"{source}\" \"Choria manual\"\n.nh\n.ad l\n"
        );
        Self { text, is_below_heading: true }
    }

    /// The whole page.
    pub fn finish(self) -> String {
        self.text
    }

    /// The heading of a section.
    pub fn heading(&mut self, title: &str) {
        self.head("SH", title);
    }

    /// The heading of a part of a section.
    pub fn subheading(&mut self, title: &str) {
        self.head("SS", title);
    }

    fn head(&mut self, name: &str, title: &str) {
        let _ = writeln!(self.text, ".{name} {}", escape(title));
        self.is_below_heading = true;
    }

    /// Running text. What stands between backquotes is bold.
    pub fn paragraph(&mut self, text: &str) {
        self.break_paragraph();
        self.lines(&inline(text));
    }

    /// A line that is broken where it ends: a way to write a command.
    pub fn synopsis(&mut self, roff: &str) {
        if !self.is_below_heading {
            self.text.push_str(".br\n");
        }
        self.is_below_heading = false;
        self.lines(roff);
    }

    /// A term, which is roff already, and what it means.
    pub fn item(&mut self, term: &str, text: &str) {
        self.is_below_heading = false;
        let _ = writeln!(self.text, ".TP\n{}", shielded(term));
        self.lines(&inline(text));
    }

    /// An element of a list.
    pub fn bullet(&mut self, text: &str) {
        self.is_below_heading = false;
        self.text.push_str(".IP \\(bu 2\n");
        self.lines(&inline(text));
    }

    /// Lines as they are.
    pub fn code<'a>(&mut self, lines: impl Iterator<Item = &'a str>) {
        self.break_paragraph();
        self.text.push_str(".RS 4\n.EX\n");
        for line in lines {
            let _ = writeln!(self.text, "{}", shielded(escape(line).trim_end()));
        }
        self.text.push_str(".EE\n.RE\n");
    }

    fn break_paragraph(&mut self) {
        if !self.is_below_heading {
            self.text.push_str(".PP\n");
        }
        self.is_below_heading = false;
    }

    /// Text that is roff already, broken into lines where it has blanks.
    fn lines(&mut self, roff: &str) {
        let mut line = String::new();
        for word in roff.split_whitespace() {
            if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
                let _ = writeln!(self.text, "{}", shielded(&line));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        let _ = writeln!(self.text, "{}", shielded(&line));
    }
}

/// A line that begins with a dot or an apostrophe would be a request.
fn shielded(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}

/// Text that is to be seen, and copied, character for character.
pub fn escape(text: &str) -> String {
    let mut roff = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\\' => roff.push_str("\\e"),
            '-' => roff.push_str("\\-"),
            '\'' => roff.push_str("\\(aq"),
            '"' => roff.push_str("\\(dq"),
            '`' => roff.push_str("\\(ga"),
            '^' => roff.push_str("\\(ha"),
            '~' => roff.push_str("\\(ti"),
            c if c.is_ascii() => roff.push(c),
            c => {
                let _ = write!(roff, "\\[u{:04X}]", u32::from(c));
            }
        }
    }
    roff
}

/// Bold.
pub fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escape(text))
}

/// Italic, or underlined on a terminal: what stands for something else.
pub fn italic(text: &str) -> String {
    format!("\\fI{}\\fR", escape(text))
}

/// Running text: what stands between backquotes, options and names of pages are bold.
fn inline(text: &str) -> String {
    let mut roff = String::with_capacity(text.len() + 32);
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            roff.push_str(&bold(part));
            continue;
        }
        for (index, word) in part.split(' ').enumerate() {
            if index > 0 {
                roff.push(' ');
            }
            roff.push_str(&prose(word));
        }
    }
    roff
}

fn prose(word: &str) -> String {
    let end = word.trim_end_matches([',', '.', ';', ':', ')']).len();
    if is_option(&word[..end]) {
        return format!("{}{}", bold(&word[..end]), escape(&word[end..]));
    }
    if let Some((name, section)) = page(word) {
        return format!("{}{}", bold(name), escape(section));
    }
    // A hyphen in prose is one, not a minus; in names of files it is copied and not broken at.
    let is_name = word[..end].contains(['.', '/', '_', '=']);
    if is_name { escape(word) } else { escape(word).replace("\\-", "-") }
}

fn is_option(word: &str) -> bool {
    let name = word.trim_start_matches('-');
    let dashes = word.len() - name.len();
    (dashes == 1 && name.chars().count() == 1 || dashes == 2)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Splits `choria(1),` into the name and the rest.
fn page(word: &str) -> Option<(&str, &str)> {
    let (name, rest) = word.split_at(word.find('(')?);
    let is_name = name.starts_with("choria") || name == "systemd";
    let is_section = rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit)
        && rest.as_bytes().get(2) == Some(&b')');
    (is_name && is_section).then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_seen_as_it_is() {
        assert_eq!(escape("a\\b -x 'y' …"), "a\\eb \\-x \\(aqy\\(aq \\[u2026]");
        assert_eq!(inline("give --batch, or `-x y` (well-known)"), {
            "give \\fB\\-\\-batch\\fR, or \\fB\\-x y\\fR (well-known)"
        });
        assert_eq!(inline("see choria-rpc(1)."), "see \\fBchoria\\-rpc\\fR(1).");
        assert_eq!(inline("a - b"), "a - b");
    }

    #[test]
    fn a_page_is_written() {
        let mut page = Roff::new("CHORIA", '1', "2026-01-02", "choria 1.0");
        page.heading("NAME");
        page.paragraph("one");
        page.paragraph(".two");
        page.item(&bold("--x"), "three");
        page.code(["'a", "b"].into_iter());
        let text = page.finish();
        let body = text.split_once("\n.SH").expect("a heading").1;
        let expected = " NAME\none\n.PP\n\\&.two\n.TP\n\\fB\\-\\-x\\fR\nthree\n.PP\n.RS 4\n.EX\n\
                        \\(aqa\nb\n.EE\n.RE\n";
        assert_eq!(body, expected);
    }
}
