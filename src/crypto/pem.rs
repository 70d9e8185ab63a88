//! Writing PEM, and reading blocks by their label. Keys and certificates are read by `rustls_pki_types`.

use data_encoding::BASE64;

/// `der` in a PEM block with the given label, 64 columns wide.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    const COLUMNS: usize = 64;
    let text = BASE64.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(COLUMNS));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// The contents of the first PEM block with the given label.
pub(super) fn decode(label: &str, text: &str) -> Option<Vec<u8>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let (_, rest) = text.split_once(&begin)?;
    let (body, _) = rest.split_once(&end)?;
    let digits: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    BASE64.decode(digits.as_bytes()).ok()
}
