//! Text of others as part of a line for people.

/// The first characters of a text, without those that control a terminal.
pub fn brief(text: &str, chars_max: usize) -> String {
    text.chars().filter(|char| !char.is_control()).take(chars_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_left_out_and_do_not_count() {
        for (text, chars_max, expected) in [
            ("plain", 9, "plain"),
            ("a\x1b[2J\nb\u{9b}c", 6, "a[2Jbc"),
            ("äöü", 2, "äö"),
            ("x", 0, ""),
        ] {
            assert_eq!(brief(text, chars_max), expected, "{text:?}");
        }
    }
}
