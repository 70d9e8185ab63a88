//! Which texts may be names of nodes.

/// Longest accepted name, in bytes: the limit of DNS.
pub const IDENTITY_BYTES_MAX: usize = 255;

/// Whether a text is a host name as node files may hold: labels of letters, digits and inner hyphens, joined by dots
/// (client notes 1.4).
pub fn is_host_name(text: &str) -> bool {
    text.len() <= IDENTITY_BYTES_MAX && text.split('.').all(is_label)
}

/// Whether a text can be part of a node's subject without changing its meaning. Configured identities may hold more
/// than host names do, so that this is less strict than [`is_host_name`].
pub fn is_addressable(text: &str) -> bool {
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && c != '*' && c != '>';
    text.len() <= IDENTITY_BYTES_MAX
        && text.split('.').all(|token| !token.is_empty())
        && text.chars().all(fits)
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let cases = [
            ("web1.example.net", true, true),
            ("1", true, true),
            ("a-b.c--d", true, true),
            ("web_1", false, true),
            ("caf\u{e9}", false, true),
            ("-a", false, true),
            ("", false, false),
            ("a..b", false, false),
            ("a.", false, false),
            ("a.*", false, false),
            ("a.>", false, false),
            ("a b", false, false),
            ("a\r\nPUB x 0", false, false),
        ];
        for (text, host, addressable) in cases {
            assert_eq!((is_host_name(text), is_addressable(text)), (host, addressable), "{text:?}");
        }
        assert!(!is_addressable(&"a".repeat(IDENTITY_BYTES_MAX + 1)));
    }
}
