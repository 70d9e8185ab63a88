//! The marks in the texts of the manual, a small part of Markdown.
//!
//! `# Title` and `## Title` begin a section and a part of one, `- term: text` and `- text` are elements of lists, lines
//! that are indented by four blanks are shown as they are, and everything else is running text.

use super::roff::{Roff, bold};
use super::sentence;

/// A piece of a text.
#[derive(Debug, PartialEq)]
enum Block<'t> {
    Heading(&'t str),
    Subheading(&'t str),
    Term(&'t str, String),
    Bullet(String),
    Code(Vec<&'t str>),
    Paragraph(String),
}

/// Writes a text to a page.
pub fn write(text: &str, page: &mut Roff) {
    for block in blocks(text) {
        match block {
            Block::Heading(title) => page.heading(&title.to_uppercase()),
            Block::Subheading(title) => page.subheading(title),
            Block::Term(term, text) => page.item(&bold(term), &sentence(&text)),
            Block::Bullet(text) => page.bullet(&sentence(&text)),
            Block::Code(lines) => page.code(lines.into_iter()),
            Block::Paragraph(text) => page.paragraph(&text),
        }
    }
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut continues = false;
    for line in text.lines() {
        if line.trim().is_empty() {
            continues = false;
            continue;
        }
        let before = blocks.last_mut().filter(|_| continues);
        match (before, line) {
            (Some(Block::Code(lines)), line) if line.starts_with("    ") => lines.push(&line[4..]),
            (_, line) if line.starts_with("    ") => blocks.push(Block::Code(vec![&line[4..]])),
            (_, line) if line.starts_with("## ") => blocks.push(Block::Subheading(&line[3..])),
            (_, line) if line.starts_with("# ") => blocks.push(Block::Heading(&line[2..])),
            (_, line) if line.starts_with("- ") => blocks.push(element(&line[2..])),
            (Some(Block::Paragraph(text) | Block::Bullet(text) | Block::Term(_, text)), line) => {
                text.push(' ');
                text.push_str(line.trim());
            }
            (_, line) => blocks.push(Block::Paragraph(line.trim().to_owned())),
        }
        continues = true;
    }
    blocks
}

/// An element with a term in front of `: ` stands for a definition.
fn element(text: &str) -> Block<'_> {
    match text.split_once(": ") {
        Some((term, text)) => Block::Term(term, text.to_owned()),
        None => Block::Bullet(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read() {
        let text = "one\ntwo\n\n# Head\n- SIGHUP: again\n  and again\n- alone\n\n    a\n      b\n\nthree\n";
        let expected = [
            Block::Paragraph("one two".to_owned()),
            Block::Heading("Head"),
            Block::Term("SIGHUP", "again and again".to_owned()),
            Block::Bullet("alone".to_owned()),
            Block::Code(vec!["a", "  b"]),
            Block::Paragraph("three".to_owned()),
        ];
        assert_eq!(blocks(text), expected);
    }
}
