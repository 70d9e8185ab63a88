//! Cyclic checksums of 32 bits: they find damage in files and on the wire, not forgery. Eight bytes a step.

/// Tables for one polynomial, reflected.
struct Tables([[u32; 256]; 8]);

impl Tables {
    const fn new(polynomial: u32) -> Self {
        let mut tables = [[0_u32; 256]; 8];
        let mut byte = 0;
        while byte < 256 {
            let mut value = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { (value >> 1) ^ polynomial } else { value >> 1 };
                bit += 1;
            }
            tables[0][byte] = value;
            byte += 1;
        }
        let mut row = 1;
        while row < 8 {
            let mut byte = 0;
            while byte < 256 {
                let before = tables[row - 1][byte];
                tables[row][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
                byte += 1;
            }
            row += 1;
        }
        Self(tables)
    }

    /// The checksum of what gave `sum`, followed by `data`.
    fn extend(&self, sum: u32, data: &[u8]) -> u32 {
        let tables = &self.0;
        let at = |row: usize, byte: u32| tables[row][(byte & 0xff) as usize];
        let mut sum = !sum;
        let (eights, rest) = data.as_chunks::<8>();
        for eight in eights {
            let [a, b, c, d, e, f, g, h] = *eight;
            let low = sum ^ u32::from_le_bytes([a, b, c, d]);
            let high = u32::from_le_bytes([e, f, g, h]);
            sum = at(7, low)
                ^ at(6, low >> 8)
                ^ at(5, low >> 16)
                ^ at(4, low >> 24)
                ^ at(3, high)
                ^ at(2, high >> 8)
                ^ at(1, high >> 16)
                ^ at(0, high >> 24);
        }
        for byte in rest {
            sum = (sum >> 8) ^ at(0, sum ^ u32::from(*byte));
        }
        !sum
    }
}

static IEEE: Tables = Tables::new(0xedb8_8320);
static CASTAGNOLI: Tables = Tables::new(0x82f6_3b78);

/// CRC-32 of gzip (RFC 1952 section 8), zip and PNG.
pub fn crc32(data: &[u8]) -> u32 {
    IEEE.extend(0, data)
}

/// CRC-32C, as in iSCSI, Kafka and ext4.
pub fn crc32c(data: &[u8]) -> u32 {
    CASTAGNOLI.extend(0, data)
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
                let sum = CASTAGNOLI.extend(crc32c(&bytes[..at]), &bytes[at..]);
                assert_eq!(sum, expected);
            }
        }
    }

    #[test]
    fn known_sums_of_gzip() {
        let ascending: Vec<u8> = (0..32).collect();
        for (data, sum) in [
            (&b""[..], 0),
            (b"123456789", 0xcbf4_3926),
            (b"The quick brown fox", 0xb745_74de),
            (&[0; 32], 0x190a_55ad),
            (&[0xff; 32], 0xff6c_ab0b),
            (&ascending, 0x9126_7e8a),
        ] {
            assert_eq!(crc32(data), sum, "{data:?}");
        }
    }
}
