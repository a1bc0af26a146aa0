//! CBF: miniCBF of Dectris detectors, and imgCIF files of one or more byte-offset arrays.

use super::super::number::{Codes, Kind, Number};
use super::text::{dectris, latin};
use super::{Decoded, Head, TRUNCATED, find};

const SECTION: &[u8] = b"--CIF-BINARY-FORMAT-SECTION--";
/// What stands between the header of a binary section and its data (CBF definition, imgCIF dictionary).
const MAGIC: [u8; 4] = [0x0c, 0x1a, 0x04, 0xd5];

/// One binary section: where its data lies and what it holds.
struct Section {
    start: usize,
    size: usize,
    width: usize,
    /// Second and further dimensions, stacked.
    height: usize,
    number: Number,
    byte_offset: bool,
}

/// The next section at or behind `from`, if there is one.
fn section(bytes: &[u8], from: usize) -> Result<Option<Section>, String> {
    let mut from = from;
    let at = loop {
        let Some(at) = find(bytes, SECTION, from) else {
            return Ok(None);
        };
        from = at + SECTION.len();
        // The line that ends a section is the same with two more dashes.
        if !bytes
            .get(from..)
            .is_some_and(|rest| rest.starts_with(b"--"))
        {
            break at;
        }
    };
    let magic = find(bytes, &MAGIC, at).ok_or(TRUNCATED)?;
    let header = latin(bytes.get(at..magic).unwrap_or(&[]));
    let field = |key: &str| {
        header.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim()
                .eq_ignore_ascii_case(key)
                .then(|| value.trim().trim_matches('"').to_owned())
        })
    };
    let size = |key: &str| field(key).and_then(|value| value.parse::<usize>().ok());
    let kind = field("X-Binary-Element-Type").unwrap_or_default();
    let number = match kind.as_str() {
        "signed 32-bit integer" | "" => Number::new(Kind::Signed, 4),
        "unsigned 32-bit integer" => Number::new(Kind::Unsigned, 4),
        "signed 16-bit integer" => Number::new(Kind::Signed, 2),
        "unsigned 16-bit integer" => Number::new(Kind::Unsigned, 2),
        "signed 8-bit integer" => Number::new(Kind::Signed, 1),
        "unsigned 8-bit integer" => Number::new(Kind::Unsigned, 1),
        "signed 32-bit real IEEE" => Number::F32,
        "signed 64-bit real IEEE" => Number::new(Kind::Float, 8),
        other => {
            return Err(format!(
                "the CBF file holds elements of type {other:?}, which is not readable here; convert it"
            ));
        }
    };
    let lower = header.to_lowercase();
    let byte_offset = lower.contains("x-cbf_byte_offset");
    if !byte_offset && lower.contains("conversions=") && !lower.contains("x-cbf_none") {
        return Err("the CBF file is compressed in another way than byte offset; rewrite it, for instance with cbflib".to_owned());
    }
    let width = size("X-Binary-Size-Fastest-Dimension");
    let height = size("X-Binary-Size-Second-Dimension");
    let (Some(width), Some(height), Some(length)) = (width, height, size("X-Binary-Size")) else {
        return Err("the CBF file does not say how large its array is; write it again".to_owned());
    };
    let depth = size("X-Binary-Size-Third-Dimension").unwrap_or(1).max(1);
    Ok(Some(Section {
        start: magic + MAGIC.len(),
        size: length,
        width,
        height: height.checked_mul(depth).ok_or(TRUNCATED)?,
        number,
        byte_offset,
    }))
}

fn head_of(text: &str, first: &Section, height: usize, arrays: usize) -> Head {
    let header = dectris(text);
    let mut head = Head::new("CBF", first.width, height, first.number);
    head.compression = first.byte_offset.then_some("byte-offset");
    head.notices = header.notices;
    head.geometry = header.geometry;
    head.saturation = header.count_cutoff;
    head.detector = header
        .detector
        .or_else(|| item(text, "_diffrn_detector.type"));
    if head.geometry.wavelength_angstrom.is_none() {
        head.geometry.wavelength_angstrom = item(text, "_diffrn_radiation_wavelength.wavelength")
            .and_then(|value| value.parse().ok());
    }
    if text.contains("PILATUS_1")
        || text.contains("# Detector: PILATUS")
        || text.contains("# Detector: EIGER")
    {
        head.format = "miniCBF";
        head.codes = Codes::Counting;
    }
    if arrays > 1 {
        head.notices.push(format!(
            "{arrays} arrays of the file are stacked along the slow axis"
        ));
    }
    head
}

/// The value of a CIF item that stands alone on its line.
fn item(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let value = line
            .trim()
            .strip_prefix(name)?
            .trim()
            .trim_matches(['\'', '"']);
        (!value.is_empty() && line.contains([' ', '\t'])).then(|| value.to_owned())
    })
}

/// The header from the first bytes; `None` when the file must be read whole to know.
pub fn head(first: &[u8]) -> Result<Option<Head>, String> {
    let Ok(Some(section)) = section(first, 0) else {
        return Ok(None);
    };
    let text = latin(first.get(..section.start).unwrap_or(first));
    // Only the mini header promises a single array.
    if !text.contains("PILATUS_1") {
        return Ok(None);
    }
    let height = section.height;
    Ok(Some(head_of(&text, &section, height, 1)))
}

/// All arrays, stacked along the slow axis.
pub fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let mut at = 0;
    let mut out = Vec::new();
    let mut first: Option<(Section, String)> = None;
    let (mut height, mut arrays) = (0, 0);
    while let Some(next) = section(bytes, at)? {
        if let Some((first, _)) = &first
            && (first.width, first.number) != (next.width, next.number)
        {
            return Err(
                "the arrays of the CBF file differ in width or type; give a file of one detector"
                    .to_owned(),
            );
        }
        let data = bytes
            .get(next.start..next.start.checked_add(next.size).ok_or(TRUNCATED)?)
            .ok_or(TRUNCATED)?;
        let cells = next
            .width
            .checked_mul(next.height)
            .filter(|n| *n <= super::MOST_PIXELS)
            .ok_or(TRUNCATED)?;
        if next.byte_offset {
            byte_offset(data, cells, next.number, &mut out)?;
        } else {
            out.extend_from_slice(data.get(..cells * next.number.bytes).ok_or(TRUNCATED)?);
        }
        at = next.start + next.size;
        height += next.height;
        arrays += 1;
        if first.is_none() {
            let text = latin(bytes.get(..next.start).unwrap_or(&[]));
            first = Some((next, text));
        }
    }
    let Some((first, text)) = first else {
        return Err("no array in this CBF file; give one with a frame".to_owned());
    };
    let head = head_of(&text, &first, height, arrays);
    Ok(Decoded { head, bytes: out })
}

/// Byte offset compression: differences of one byte, or 0x80 and two, or 0x8000 and four, or eight.
///
/// CBF definition, section "byte_offset": <https://www.iucr.org/__data/iucr/cifdic_html/2/cif_img.dic/>.
fn byte_offset(data: &[u8], cells: usize, number: Number, out: &mut Vec<u8>) -> Result<(), String> {
    out.reserve(cells * number.bytes);
    let mut at = 0;
    let mut value = 0i64;
    for _ in 0..cells {
        let small = *data.get(at).ok_or(TRUNCATED)? as i8;
        at += 1;
        let difference = if small != i8::MIN {
            i64::from(small)
        } else {
            let middle = i16::from_le_bytes(
                *data
                    .get(at..)
                    .and_then(|rest| rest.first_chunk())
                    .ok_or(TRUNCATED)?,
            );
            at += 2;
            if middle != i16::MIN {
                i64::from(middle)
            } else {
                let large = i32::from_le_bytes(
                    *data
                        .get(at..)
                        .and_then(|rest| rest.first_chunk())
                        .ok_or(TRUNCATED)?,
                );
                at += 4;
                if large != i32::MIN {
                    i64::from(large)
                } else {
                    let huge = i64::from_le_bytes(
                        *data
                            .get(at..)
                            .and_then(|rest| rest.first_chunk())
                            .ok_or(TRUNCATED)?,
                    );
                    at += 8;
                    huge
                }
            }
        };
        value = value.wrapping_add(difference);
        match number.bytes {
            4 => out.extend_from_slice(&(value as i32).to_le_bytes()),
            2 => out.extend_from_slice(&(value as i16).to_le_bytes()),
            1 => out.push(value as u8),
            _ => {
                return Err(
                    "byte offset compression of real numbers is not known here; convert the file"
                        .to_owned(),
                );
            }
        }
    }
    Ok(())
}
