//! A stream of bits, lowest bit of the first byte first, as the packings of CCP4 and CBF read it.

use super::TRUNCATED;

pub struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `width` bits, at most 32, as a number.
    pub fn take(&mut self, width: u32) -> Result<u32, String> {
        let first = self.bytes.get(self.at / 8..).ok_or(TRUNCATED)?;
        if self.at + width as usize > self.bytes.len() * 8 {
            return Err(TRUNCATED.to_owned());
        }
        let word = match first.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => {
                let bytes = first.iter().enumerate();
                bytes.fold(0, |word, (i, byte)| word | u64::from(*byte) << (8 * i))
            }
        };
        self.at += width as usize;
        Ok((word >> ((self.at - width as usize) % 8) & ((1 << width) - 1)) as u32)
    }

    /// The same as a signed number.
    pub fn signed(&mut self, width: u32) -> Result<i32, String> {
        if width == 0 {
            return Ok(0);
        }
        let value = self.take(width)?;
        Ok((value << (32 - width)) as i32 >> (32 - width))
    }
}
