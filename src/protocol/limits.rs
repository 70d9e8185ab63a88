//! Largest sizes a decoder accepts. A message beyond one of them is refused, never cut.
//!
//! They lie well above what go-choria produces; the broker's `max_payload` is usually the tighter one.

/// Bytes of one encoded transport.
pub const TRANSPORT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a name: identity, caller id, collective, agent, request id of a reply.
pub const NAME_BYTES_MAX: usize = 512;
/// Bytes of a NATS subject in a header.
pub const SUBJECT_BYTES_MAX: usize = 1024;
/// Bytes of one text in a hop.
pub const HOP_BYTES_MAX: usize = 1024;
/// Hops of one transport; further ones are not recorded.
pub const HOPS_MAX: usize = 64;
/// Subjects a federated transport may ask for. Clients send groups of 200.
pub const FEDERATION_TARGETS_MAX: usize = 2_000;
/// Bytes of the base64 signature: an RSA key of 16384 bits with line breaks fits.
pub const SIGNATURE_BYTES_MAX: usize = 4 * 1024;
/// Bytes of the PEM certificates in a secure request.
pub const PUBCERT_BYTES_MAX: usize = 64 * 1024;
/// Entries in each list of a filter.
pub const FILTER_ENTRIES_MAX: usize = 10_000;
/// Regular expressions in a filter.
pub const FILTER_PATTERNS_MAX: usize = 250;
/// Bytes of one entry of a filter.
pub const FILTER_ENTRY_BYTES_MAX: usize = 16 * 1024;
/// Characters of a v1 request id, exactly.
pub const REQUEST_ID_CHARS: usize = 32;
/// Smallest time to live of a v1 request, seconds.
pub const TTL_SECS_MIN: u64 = 30;
/// Smallest time to live of a v2 request, seconds.
pub const TTL_SECS_MIN_V2: u64 = 1;
/// Bytes of a token in a v2 envelope: those with a policy inside are long.
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;
