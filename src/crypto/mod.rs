//! The only direct user of ring and rsa: hashes, signatures, random numbers, certificates.
