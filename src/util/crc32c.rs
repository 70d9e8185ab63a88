//! CRC-32C (Castagnoli), as in iSCSI, Kafka and ext4: finds damage in files and on the wire, not forgery.

/// The reflected polynomial.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// Bytes looked at in one step.
const STEP: usize = 8;

static TABLES: [[u32; 256]; STEP] = tables();

const fn tables() -> [[u32; 256]; STEP] {
    let mut tables = [[0; 256]; STEP];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        tables[0][index] = value;
        index += 1;
    }
    let mut table = 1;
    while table < STEP {
        let mut index = 0;
        while index < 256 {
            let before = tables[table - 1][index];
            tables[table][index] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            index += 1;
        }
        table += 1;
    }
    tables
}

/// The checksum of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    extend(0, bytes)
}

/// The checksum of what gave `sum`, followed by `bytes`.
pub fn extend(sum: u32, bytes: &[u8]) -> u32 {
    let mut sum = !sum;
    let mut chunks = bytes.chunks_exact(STEP);
    for chunk in &mut chunks {
        let mut next = 0;
        for (place, byte) in chunk.iter().enumerate() {
            // The sum covers the first four bytes of the step.
            let shift = 8 * place as u32;
            let covered = if shift < 32 { (sum >> shift) as u8 } else { 0 };
            next ^= TABLES[STEP - 1 - place][usize::from(byte ^ covered)];
        }
        sum = next;
    }
    for byte in chunks.remainder() {
        sum = (sum >> 8) ^ TABLES[0][usize::from(byte ^ (sum as u8))];
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sums() {
        // RFC 3720, appendix B.4.
        let rising: Vec<u8> = (0..32).collect();
        let falling: Vec<u8> = (0..32).rev().collect();
        for (bytes, expected) in [
            (&b"123456789"[..], 0xe306_9283),
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&rising, 0x46dd_794e),
            (&falling, 0x113f_db5c),
            (b"", 0),
        ] {
            assert_eq!(crc32c(bytes), expected, "{bytes:?}");
            for at in 0..bytes.len() {
                assert_eq!(extend(crc32c(&bytes[..at]), &bytes[at..]), expected);
            }
        }
    }
}
