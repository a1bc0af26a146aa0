//! Oxford Diffraction frames (.img of CrysAlis): a text line, binary sections, differences of one byte with exceptions.

use super::super::number::{Kind, Number};
use super::text::latin;
use super::{Decoded, Head, TRUNCATED};

/// Whether a file begins like one.
pub fn is_oxford(first: &[u8]) -> bool {
    first.starts_with(b"OD SAPPHIRE")
}

/// The whole number behind the n-th `key` in the text lines.
fn field(text: &str, key: &str, index: usize) -> Option<usize> {
    let (at, _) = text.match_indices(key).nth(index)?;
    let rest = text.get(at + key.len()..)?.trim_start();
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

/// Where things lie in the file.
struct Layout {
    compression: String,
    shorts: usize,
    longs: usize,
    header: usize,
    special: usize,
    goniometer: usize,
}

fn layout(first: &[u8]) -> Result<(usize, usize, Layout), String> {
    let text = latin(first.get(..first.len().min(256)).unwrap_or(first));
    let damaged =
        || "the Oxford header is damaged; copy the file again from where it came".to_owned();
    let whole = |key, index| field(&text, key, index).ok_or_else(damaged);
    let compression = text
        .split("COMPRESSION=")
        .nth(1)
        .and_then(|rest| rest.split(['(', '\r', '\n', ' ']).next())
        .unwrap_or_default()
        .to_owned();
    let header = whole("NHEADER=", 0)?;
    let (general, special) = (whole("NG=", 0)?, whole("NS=", 0)?);
    let (goniometer, statistics, history) = (whole("NK=", 0)?, whole("NS=", 1)?, whole("NH=", 0)?);
    let version = text
        .split_whitespace()
        .nth(2)
        .and_then(|word| word.parse::<f64>().ok());
    // Old headers have their sections at the end of the header, new ones behind 256 characters.
    let start = if version.is_some_and(|version| version >= 4.0) {
        256
    } else {
        [general, special, goniometer, statistics, history]
            .iter()
            .try_fold(header, |left, size| left.checked_sub(*size))
            .ok_or_else(damaged)?
    };
    Ok((
        whole("NX=", 0)?,
        whole("NY=", 0)?,
        Layout {
            compression,
            shorts: whole("OI=", 0)?,
            longs: whole("OL=", 0)?,
            header,
            special: start.checked_add(general).ok_or_else(damaged)?,
            goniometer: start
                .checked_add(general)
                .and_then(|at| at.checked_add(special))
                .ok_or_else(damaged)?,
        },
    ))
}

/// The header; the sections' fields as FabIO documents them (silx-kit/fabio, OXDimage).
pub fn head(first: &[u8]) -> Result<Head, String> {
    let (width, height, layout) = layout(first)?;
    let number = Number::new(Kind::Signed, 4).native();
    let mut head = Head::new("Oxford", width, height, number);
    head.compression = match layout.compression.as_str() {
        "TY1" => Some("ty1"),
        "TY5" => Some("ty5"),
        _ => None,
    };
    let double = |section: usize, field: usize| {
        let at = section.checked_add(field)?;
        let value = f64::from_le_bytes(*first.get(at..)?.first_chunk()?);
        (value.is_finite() && value > 0.0 && value < 1e6).then_some(value)
    };
    let pixel_mm = double(layout.special, 568).zip(double(layout.special, 576));
    head.geometry.pixel_size_m = pixel_mm.map(|(x, y)| [x / 1e3, y / 1e3]);
    let at = layout.goniometer;
    head.geometry.wavelength_angstrom = double(at, 584).or_else(|| double(at, 568));
    head.geometry.detector_distance_m = double(at, 712).map(|mm| mm / 1e3);
    head.geometry.beam_center_px = double(at, 664)
        .zip(double(at, 672))
        .map(|(x, y)| [x + 0.5, y + 0.5]);
    head.detector = Some("Oxford Diffraction CCD".to_owned());
    Ok(head)
}

/// The pixels, in the machine's byte order.
pub fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let head = head(bytes)?;
    let (width, height, layout) = layout(bytes)?;
    let length = width
        .checked_mul(height)
        .filter(|n| *n <= super::MOST_PIXELS)
        .ok_or(TRUNCATED)?;
    let data = bytes.get(layout.header..).ok_or(TRUNCATED)?;
    let cells = match layout.compression.as_str() {
        "TY1" => ty1(data, length, &layout)?,
        "TY5" => ty5(data, width, length)?,
        "NO" | "" => {
            let cells = data.get(..length * 4).ok_or(TRUNCATED)?.as_chunks().0;
            cells.iter().map(|cell| i32::from_le_bytes(*cell)).collect()
        }
        other => {
            return Err(format!(
                "the Oxford file is compressed as {other:?}, which is not readable here; export it anew"
            ));
        }
    };
    Ok(Decoded {
        head,
        bytes: bytemuck::cast_slice(&cells).to_vec(),
    })
}

/// TY1: a byte a pixel, 127 = no difference to the pixel before; 254 stands for the next short, 255 for the next long of
/// the tables behind.
fn ty1(data: &[u8], length: usize, layout: &Layout) -> Result<Vec<i32>, String> {
    let small = data.get(..length).ok_or(TRUNCATED)?;
    let rest = data.get(length..).ok_or(TRUNCATED)?;
    let shorts = rest
        .get(..layout.shorts.checked_mul(2).ok_or(TRUNCATED)?)
        .ok_or(TRUNCATED)?;
    let longs = rest
        .get(shorts.len()..)
        .and_then(|rest| rest.get(..layout.longs.checked_mul(4)?))
        .ok_or(TRUNCATED)?;
    let mut shorts = shorts.as_chunks().0.iter();
    let mut longs = longs.as_chunks().0.iter();
    let mut value = 0_i32;
    let next = small.iter().map(|byte| {
        let difference = match byte {
            254 => i32::from(i16::from_le_bytes(*shorts.next()?)),
            255 => i32::from_le_bytes(*longs.next()?),
            small => i32::from(*small) - 127,
        };
        value = value.wrapping_add(difference);
        Some(value)
    });
    next.collect::<Option<Vec<i32>>>()
        .ok_or_else(|| TRUNCATED.to_owned())
}

/// TY5: the same with the exceptions in place, each row beginning at 0.
fn ty5(data: &[u8], width: usize, length: usize) -> Result<Vec<i32>, String> {
    let mut cells = Vec::with_capacity(length);
    let mut at = 0;
    let mut value = 0_i32;
    while cells.len() < length {
        if width > 0 && cells.len() % width == 0 {
            value = 0;
        }
        let byte = *data.get(at).ok_or(TRUNCATED)?;
        let rest = data.get(at + 1..).ok_or(TRUNCATED)?;
        let (difference, bytes) = match byte {
            254 => (
                i32::from(i16::from_le_bytes(*rest.first_chunk().ok_or(TRUNCATED)?)),
                3,
            ),
            255 => (i32::from_le_bytes(*rest.first_chunk().ok_or(TRUNCATED)?), 5),
            small => (i32::from(small) - 127, 1),
        };
        at += bytes;
        value = value.wrapping_add(difference);
        cells.push(value);
    }
    Ok(cells)
}
