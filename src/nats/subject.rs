//! Subjects: dot separated tokens, `*` for one token and a final `>` for one or more.
//!
//! Everything works on bytes: a subject need not be UTF-8, and comparison is by byte. A wildcard is one only when it is
//! the whole token, so `foo*` is a literal.

/// Whether a message may be published on `subject`: no wildcard tokens, no empty tokens, no separators inside.
///
/// A broker checks this for pedantic connections only; everybody else may send what they like, and a malformed
/// subject simply matches less.
pub fn valid_publish(subject: &[u8]) -> bool {
    valid_subscribe(subject) && !has_wildcard(subject)
}

/// Whether `subject` may be subscribed to: no empty token, `>` only as the last token, no blank or line end inside.
pub fn valid_subscribe(subject: &[u8]) -> bool {
    if subject.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0c)) {
        return false;
    }
    let mut tail_seen = false;
    for token in tokens(subject) {
        if token.is_empty() || tail_seen {
            return false;
        }
        tail_seen = token == b">";
    }
    true
}

/// Whether any token of `subject` is a wildcard.
pub fn has_wildcard(subject: &[u8]) -> bool {
    memchr::memchr2(b'*', b'>', subject).is_some()
        && tokens(subject).any(|token| token == b"*" || token == b">")
}

/// Whether a message on `subject` goes to a subscription for `pattern`. A wildcard inside `subject` is only matched
/// by a wildcard, and a subject with an empty token matches nothing.
pub fn matches(pattern: &[u8], subject: &[u8]) -> bool {
    if tokens(subject).any(<[u8]>::is_empty) {
        return false;
    }
    let mut wanted = tokens(pattern);
    let mut given = tokens(subject);
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) => return true,
            (Some(b"*"), Some(_)) => {}
            (Some(token), Some(other)) if token == other => {}
            _ => return false,
        }
    }
}

/// Whether every subject that a subscription asks for is one that `pattern` matches: `foo.*` covers `foo.bar` and
/// `foo.*`, but not `foo.>`.
pub fn covers(pattern: &[u8], subscription: &[u8]) -> bool {
    let mut wanted = tokens(pattern);
    let mut given = tokens(subscription);
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) => return true,
            (Some(b"*"), Some(token)) if token != b">" => {}
            (Some(token), Some(other)) if token == other => {}
            _ => return false,
        }
    }
}

/// Whether there are subjects that both subscriptions ask for.
pub fn overlaps(one: &[u8], other: &[u8]) -> bool {
    let mut ours = tokens(one);
    let mut theirs = tokens(other);
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) | (Some(_), Some(b">")) => return true,
            (Some(b"*"), Some(_)) | (Some(_), Some(b"*")) => {}
            (Some(token), Some(other)) if token == other => {}
            _ => return false,
        }
    }
}

/// The subscription that asks for what both ask for, when there is any such subject.
pub fn intersection(one: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let mut ours = tokens(one);
    let mut theirs = tokens(other);
    let mut common: Vec<&[u8]> = Vec::new();
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => break,
            (Some(b">"), Some(token)) => {
                common.push(token);
                common.extend(theirs);
                break;
            }
            (Some(token), Some(b">")) => {
                common.push(token);
                common.extend(ours);
                break;
            }
            (Some(b"*"), Some(token)) | (Some(token), Some(b"*")) => common.push(token),
            (Some(token), Some(other)) if token == other => common.push(token),
            _ => return None,
        }
    }
    Some(common.join(&b'.'))
}

/// The tokens of a subject; an empty subject has one empty token.
pub fn tokens(subject: &[u8]) -> impl Iterator<Item = &[u8]> {
    subject.split(|byte| *byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscription_subjects() {
        for good in
            ["foo", "foo.bar", "*", ">", "foo.*.bar", "foo.>", "foo*", "f>o.bar", "\u{e4}.b"]
        {
            assert!(valid_subscribe(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ".",
            "foo.",
            ".foo",
            "foo..bar",
            ">.foo",
            "foo.>.bar",
            "fo o",
            "fo\to",
            "a\r",
            "a\n",
        ] {
            assert!(!valid_subscribe(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn publish_subjects() {
        for good in ["foo", "foo.bar", "foo*", "a.b>.c"] {
            assert!(valid_publish(good.as_bytes()), "{good}");
        }
        for bad in ["", "foo.*", ">", "foo.>", "*", "a..b", "a."] {
            assert!(!valid_publish(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn matching() {
        let cases = [
            ("foo", "foo", true),
            ("foo", "Foo", false),
            ("foo", "foo.bar", false),
            ("foo.bar", "foo", false),
            ("*", "foo", true),
            ("*", "foo.bar", false),
            ("foo.*", "foo.bar", true),
            ("foo.*", "foo", false),
            ("foo.>", "foo", false),
            ("foo.>", "foo.bar", true),
            ("foo.>", "foo.bar.baz", true),
            (">", "foo.bar", true),
            ("foo.*.baz", "foo.bar.baz", true),
            ("foo.*.baz", "foo.bar.bar", false),
            ("foo*", "foo*", true),
            ("foo*", "foobar", false),
            ("foo.*", "foo.*", true),
            ("foo.bar", "foo.*", false),
            (">", "a..b", false),
            ("a.*", "a.", false),
            (">", "", false),
        ];
        for (pattern, subject, expected) in cases {
            assert_eq!(
                matches(pattern.as_bytes(), subject.as_bytes()),
                expected,
                "{pattern} {subject}"
            );
        }
    }

    #[test]
    fn subscriptions_of_subscriptions() {
        // Whether the first covers the second, and what they have in common.
        let cases = [
            ("foo", "foo", true, Some("foo")),
            ("foo", "bar", false, None),
            ("foo.*", "foo.bar", true, Some("foo.bar")),
            ("foo.*", "foo.*", true, Some("foo.*")),
            ("foo.*", "foo.>", false, Some("foo.*")),
            ("foo.>", "foo.*", true, Some("foo.*")),
            ("foo.>", "foo.*.bar", true, Some("foo.*.bar")),
            ("foo.>", "foo", false, None),
            ("foo.>", ">", false, Some("foo.>")),
            (">", "foo.>", true, Some("foo.>")),
            ("*", ">", false, Some("*")),
            (">", ">", true, Some(">")),
            ("*", "*", true, Some("*")),
            ("a.*", "*.b", false, Some("a.b")),
            ("a.*.c.>", "*.b.>", false, Some("a.b.c.>")),
            ("a.b", "a.*.c", false, None),
        ];
        for (one, other, covered, common) in cases {
            let (one, other) = (one.as_bytes(), other.as_bytes());
            let shown = || format!("{} {}", one.escape_ascii(), other.escape_ascii());
            assert_eq!(covers(one, other), covered, "{}", shown());
            let common = common.map(|common| common.as_bytes().to_vec());
            for (one, other) in [(one, other), (other, one)] {
                assert_eq!(overlaps(one, other), common.is_some(), "{}", shown());
                assert_eq!(intersection(one, other), common, "{}", shown());
            }
        }
    }
}
