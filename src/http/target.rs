//! The path and the query of a request.

/// The parameters behind `?`, decoded. The first one of a name counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads `a=1&b=two%20words`; parts that cannot be decoded are left out.
    pub fn parse(text: &str) -> Query {
        let pairs = text.split('&').filter(|part| !part.is_empty()).filter_map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((decode(name, true)?, decode(value, true)?))
        });
        Query { pairs: pairs.collect() }
    }

    /// The value of a parameter; empty when it is not there.
    pub fn value(&self, name: &str) -> &str {
        let found = self.pairs.iter().find(|(have, _)| have == name);
        found.map_or("", |(_, value)| value)
    }
}

/// Splits a request target into its decoded path and its query; nothing when it is no path.
pub(super) fn split(target: &str) -> Option<(String, Query)> {
    // A proxy may send the whole address.
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.get(rest.find('/')?..)?,
        None => target,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = decode(path, false).filter(|path| path.starts_with('/'))?;
    Some((path, Query::parse(query)))
}

/// Resolves `%41`, and `+` as a blank in queries; nothing when it is malformed or not UTF-8.
fn decode(text: &str, is_query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            b'+' if is_query => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (target, path, name, value) in [
            ("/", Some("/"), "a", ""),
            ("/varz?", Some("/varz"), "a", ""),
            ("/connz?subs=detail&limit=5", Some("/connz"), "limit", "5"),
            ("/connz?a=1&a=2", Some("/connz"), "a", "1"),
            ("/connz?a+b=c%2Bd+e%3D", Some("/connz"), "a b", "c+d e="),
            ("/connz?%zz=1&a=%f&b=2", Some("/connz"), "b", "2"),
            ("/%76arz+", Some("/varz+"), "", ""),
            ("http://host:1/varz?a=1", Some("/varz"), "a", "1"),
            ("/%ff", None, "", ""),
            ("/%", None, "", ""),
            ("varz", None, "", ""),
            ("*", None, "", ""),
            ("http://host", None, "", ""),
        ] {
            let found = split(target);
            assert_eq!(found.as_ref().map(|(path, _)| path.as_str()), path, "{target}");
            if let Some((_, query)) = found {
                assert_eq!(query.value(name), value, "{target}");
            }
        }
    }
}
