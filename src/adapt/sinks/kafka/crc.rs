//! The checksum inside gzip. Eight bytes a step.

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

    fn checksum(&self, data: &[u8]) -> u32 {
        let tables = &self.0;
        let at = |row: usize, byte: u32| tables[row][(byte & 0xff) as usize];
        let mut sum = u32::MAX;
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

/// CRC-32 of gzip (RFC 1952 section 8).
pub(super) fn crc32(data: &[u8]) -> u32 {
    IEEE.checksum(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_checksums() {
        let ascending: Vec<u8> = (0..32).collect();
        for (data, sum) in [
            (&b""[..], 0),
            (b"123456789", 0xcbf4_3926),
            (&[0; 32], 0x190a_55ad),
            (&[0xff; 32], 0xff6c_ab0b),
            (&ascending, 0x9126_7e8a),
        ] {
            assert_eq!(crc32(data), sum, "{data:?}");
        }
    }
}
