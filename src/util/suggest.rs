//! "Did you mean": the nearest word of a list.

/// The candidate with the fewest edits from `word`, when it is near enough to be a typing error:
/// at most one edit in three letters. The first of several equally near ones wins.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(WORD_CHARS_MAX).collect();
    let limit = word.len().div_ceil(3).min(EDITS_MAX);
    candidates
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= limit && *edits < candidate.chars().count())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Longer words are compared by their first part only.
const WORD_CHARS_MAX: usize = 100;
const EDITS_MAX: usize = 4;

/// Insertions, deletions, replacements and swaps of neighbours that make one word the other.
fn distance(from: &[char], to: &str) -> usize {
    let to: Vec<char> = to.chars().take(WORD_CHARS_MAX).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut current = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut best =
                (previous[j] + usize::from(a != b)).min(previous[j + 1] + 1).min(current[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                best = best.min(before[j - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_find_their_word() {
        let words = ["ping", "rpc", "find", "inventory", "facts", "--timeout", "--limit"];
        let cases = [
            ("pign", Some("ping")),
            ("inventroy", Some("inventory")),
            ("--time-out", Some("--timeout")),
            ("rcp", Some("rpc")),
            ("fact", Some("facts")),
            ("zebra", None),
            ("x", None),
            ("", None),
        ];
        for (word, expected) in cases {
            assert_eq!(nearest(word, words.into_iter()), expected, "{word}");
        }
    }
}
