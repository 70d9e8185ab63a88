//! Reaching other machines: dial, TLS, name and SRV lookup.
