//! PNG pictures of one channel with 8 or 16 bits.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder};

use super::super::number::{Kind, Number};
use super::{Decoded, Head, TRUNCATED};

pub const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

type Reader<'a> = png::Reader<Cursor<&'a [u8]>>;

fn open(bytes: &[u8]) -> Result<(Head, Reader<'_>), String> {
    let reader = Decoder::new(Cursor::new(bytes))
        .read_info()
        .map_err(|error| format!("the PNG file is damaged ({error}); copy it again"))?;
    let info = reader.info();
    let (width, height) = (info.width as usize, info.height as usize);
    let number = match (info.color_type, info.bit_depth) {
        (ColorType::Grayscale, BitDepth::Eight) => Number::U8,
        (ColorType::Grayscale, BitDepth::Sixteen) => Number {
            big_endian: true,
            ..Number::new(Kind::Unsigned, 2)
        },
        (color, depth) => {
            return Err(format!(
                "the PNG file is a picture ({color:?}, {depth:?}), not counts; give grey values of 8 or 16 bits"
            ));
        }
    };
    let mut head = Head::new("PNG", width, height, number);
    head.compression = Some("deflate");
    head.notices
        .push("PNG files rarely hold a detector's counts: values may have been scaled".to_owned());
    Ok((head, reader))
}

/// The header.
pub fn head(first: &[u8]) -> Result<Head, String> {
    Ok(open(first)?.0)
}

/// The pixels.
pub fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let (head, mut reader) = open(bytes)?;
    let size = head
        .width
        .checked_mul(head.height)
        .filter(|n| *n <= super::MOST_PIXELS)
        .and_then(|n| n.checked_mul(head.number.bytes))
        .ok_or(TRUNCATED)?;
    let mut pixels = vec![0; reader.output_buffer_size().unwrap_or(0).max(size)];
    reader.next_frame(&mut pixels).map_err(|error| {
        format!("the PNG file is truncated or damaged ({error}); copy it again")
    })?;
    pixels.truncate(size);
    Ok(Decoded {
        head,
        bytes: pixels,
    })
}
