//! mar345 image plates (.mar1200 to .mar3450): a header of 4096 bytes, pixels above 16 bits, one packed array.

use super::super::number::{Kind, Number};
use super::bits::Bits;
use super::text::{latin, numbers};
use super::{Decoded, Head, TRUNCATED};

const HEADER: usize = 4096;
/// What begins the packed array; "V2" may stand before the comma.
const PACKED: &[u8] = b"CCP4 packed image";

/// Whether a file begins like one: the number 1234 in either byte order, and the maker's name.
pub fn is_mar345(first: &[u8]) -> bool {
    (first.starts_with(&1234_i32.to_le_bytes()) || first.starts_with(&1234_i32.to_be_bytes()))
        && first
            .get(64..192)
            .is_some_and(|text| latin(text).contains("mar research"))
}

/// The integers and the text of the header.
struct Fields<'a> {
    bytes: &'a [u8],
    is_little: bool,
}

impl Fields<'_> {
    fn integer(&self, index: usize) -> Option<i32> {
        let cell = *self.bytes.get(index * 4..)?.first_chunk::<4>()?;
        Some(if self.is_little {
            i32::from_le_bytes(cell)
        } else {
            i32::from_be_bytes(cell)
        })
    }
}

/// The header; the format is described by its maker in "The mar345 data formats" (marresearch, 1999).
pub fn head(first: &[u8]) -> Result<Head, String> {
    let fields = Fields {
        bytes: first,
        is_little: first.starts_with(&1234_i32.to_le_bytes()),
    };
    let size = |index| fields.integer(index).and_then(|n| usize::try_from(n).ok());
    let (Some(width), Some(format), Some(pixels)) = (size(1), size(3), size(5)) else {
        return Err(TRUNCATED.to_owned());
    };
    if format == 2 {
        return Err(
            "this mar345 file is a spiral scan; convert it with marcvt to a packed image"
                .to_owned(),
        );
    }
    if width < 2 || pixels % width != 0 {
        return Err(
            "the header of the mar345 file is damaged; copy it again from where it came".to_owned(),
        );
    }
    let mut head = Head::new(
        "mar345",
        width,
        pixels / width,
        Number::new(Kind::Unsigned, 4).native(),
    );
    head.compression = Some("ccp4-packed");
    head.detector = Some("mar345".to_owned());
    let positive = |index: usize, scale: f64| {
        let value = f64::from(fields.integer(index)?);
        (value > 0.0).then_some(value * scale)
    };
    // Pixel edges in micrometres, wavelength in 1e-6 angstrom, distance in micrometres.
    head.geometry.pixel_size_m = positive(6, 1e-6)
        .zip(positive(7, 1e-6))
        .map(|(x, y)| [x, y]);
    head.geometry.wavelength_angstrom = positive(8, 1e-6);
    head.geometry.detector_distance_m = positive(9, 1e-6);
    let text = latin(first.get(64..HEADER.min(first.len())).unwrap_or_default());
    for line in text.lines() {
        let line = line.trim();
        if let Some(center) = line.strip_prefix("CENTER")
            && let [x, y, ..] = numbers(center).as_slice()
        {
            head.geometry.beam_center_px = Some([*x, *y]);
            head.notices.push(
                "mar345 headers often give the middle of the plate as the beam centre; check it"
                    .to_owned(),
            );
        }
    }
    Ok(head)
}

/// The pixels, in the machine's byte order.
pub fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let head = head(bytes)?;
    let at = super::find(bytes, PACKED, HEADER).ok_or(TRUNCATED)?;
    let line = bytes.get(at..).ok_or(TRUNCATED)?;
    let end = line
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or(TRUNCATED)?;
    let is_second = latin(line.get(..end).unwrap_or_default()).contains(" V2");
    let packed = line.get(end + 1..).ok_or(TRUNCATED)?;
    let cells = unpack(packed, head.width, head.height, is_second)?;
    let mut pixels: Vec<u32> = cells.into_iter().map(u32::from).collect();
    // Pixels above 65535: pairs of their number, from 1, and their value, before the packed array.
    let fields = Fields {
        bytes,
        is_little: bytes.starts_with(&1234_i32.to_le_bytes()),
    };
    let high = fields.integer(2).and_then(|n| usize::try_from(n).ok());
    for pair in 0..high.unwrap_or(0) {
        let index = HEADER / 4 + 2 * pair;
        let (Some(place), Some(value)) = (fields.integer(index), fields.integer(index + 1)) else {
            return Err(TRUNCATED.to_owned());
        };
        let place = usize::try_from(place).ok().and_then(|n| n.checked_sub(1));
        if let (Some(pixel), Ok(value)) = (
            place.and_then(|place| pixels.get_mut(place)),
            u32::try_from(value),
        ) {
            *pixel = value;
        }
    }
    Ok(Decoded {
        head,
        bytes: bytemuck::cast_slice(&pixels).to_vec(),
    })
}

/// Undoes CCP4's packing: runs of differences to the mean of four neighbours, all of a run equally wide.
///
/// Described in J. P. Abrahams, "Compression of X-ray images", Joint CCP4 and ESF-EACBM Newsletter 28 (1993) 3.
fn unpack(packed: &[u8], width: usize, height: usize, is_second: bool) -> Result<Vec<u16>, String> {
    const WIDTHS: [u32; 8] = [0, 4, 5, 6, 7, 8, 16, 32];
    const WIDTHS_2: [u32; 16] = [0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 32, 0];
    let length = width * height;
    let mut out: Vec<u16> = Vec::with_capacity(length);
    let mut bits = Bits::new(packed);
    while out.len() < length {
        let (run, bit_width) = if is_second {
            (1 << bits.take(4)?, WIDTHS_2[bits.take(4)? as usize & 15])
        } else {
            (1 << bits.take(3)?, WIDTHS[bits.take(3)? as usize & 7])
        };
        for _ in 0..run {
            let at = out.len();
            if at == length {
                break;
            }
            let difference = bits.signed(bit_width)?;
            // The packing knows signed 16-bit words; counts above 32767 wrap, and wrap back.
            let cell = |at: usize| i32::from(out[at] as i16);
            let expected = if at > width {
                (cell(at - 1) + cell(at + 1 - width) + cell(at - width) + cell(at - width - 1) + 2)
                    / 4
            } else if at > 0 {
                cell(at - 1)
            } else {
                0
            };
            out.push(expected.wrapping_add(difference) as u16);
        }
    }
    Ok(out)
}
