//! CBF: miniCBF of Dectris detectors, and imgCIF files of one or more byte-offset arrays.

use super::super::number::{Codes, Kind, Number};
use super::bits::Bits;
use super::text::{dectris, latin};
use super::{Decoded, Head, TRUNCATED, find, imgcif};
use crate::domain::geometry::Panel;

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
    /// Rows of one section of a three-dimensional array.
    section_height: usize,
    number: Number,
    packing: Packing,
}

/// How an array is compressed (CBF definition, "X-CBF_..." conversions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    None,
    ByteOffset,
    /// Differences in runs of equal width; the second version has more widths.
    Packed {
        is_second: bool,
        /// To the mean of the neighbours, not to the pixel before.
        is_averaged: bool,
        /// The section below counts among the neighbours.
        is_correlated: bool,
    },
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
    let packing = if lower.contains("x-cbf_byte_offset") {
        Packing::ByteOffset
    } else if lower.contains("x-cbf_packed") {
        Packing::Packed {
            is_second: lower.contains("x-cbf_packed_v2"),
            is_averaged: !lower.contains("flat"),
            is_correlated: !lower.contains("uncorrelated_sections"),
        }
    } else if lower.contains("conversions=") && !lower.contains("x-cbf_none") {
        return Err("the CBF file is compressed in another way than byte offset or packed; rewrite it, for instance with cbflib".to_owned());
    } else {
        Packing::None
    };
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
        section_height: height,
        number,
        packing,
    }))
}

fn head_of(text: &str, first: &Section, height: usize, arrays: usize) -> Head {
    let header = dectris(text);
    let mut head = Head::new("CBF", first.width, height, first.number);
    head.compression = match first.packing {
        Packing::None => None,
        Packing::ByteOffset => Some("byte-offset"),
        Packing::Packed { .. } => Some("ccp4-packed"),
    };
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

/// Takes over the panels of a full imgCIF header, where it tells of any.
fn place(head: &mut Head, text: &str, first: &Section) {
    let section = first.section_height.max(1);
    let panels = imgcif::panels(text, section, first.height / section);
    let is_inside = |panel: &Panel| panel.rect.x1 <= head.width && panel.rect.y1 <= head.height;
    if panels.is_empty() || !panels.iter().all(is_inside) {
        return;
    }
    head.format = "imgCIF";
    head.notices.retain(|notice| !notice.contains("stacked"));
    head.geometry.panels = panels;
    head.geometry.summarise();
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
        match next.packing {
            Packing::ByteOffset => byte_offset(data, cells, next.number, &mut out)?,
            Packing::Packed { .. } => packed(data, &next, &mut out)?,
            Packing::None => {
                out.extend_from_slice(data.get(..cells * next.number.bytes).ok_or(TRUNCATED)?);
            }
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
    let mut head = head_of(&text, &first, height, arrays);
    if head.format == "CBF" {
        place(&mut head, &text, &first);
    }
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

/// CCP4-style packing as CBF has it: runs of differences, each to the mean of the neighbours that are known already.
///
/// CBF definition, "Packed" compression, after J. P. Abrahams, Joint CCP4 and ESF-EACBM Newsletter 28 (1993) 3; what the
/// definition leaves open (which neighbours count at the edges) as CBFlib writes it.
fn packed(data: &[u8], section: &Section, out: &mut Vec<u8>) -> Result<(), String> {
    const WIDTHS: [u32; 8] = [0, 4, 5, 6, 7, 8, 16, 65];
    const WIDTHS_2: [u32; 16] = [0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 65];
    /// Number, minimum and maximum of the elements and a reserved word, 64 bits each.
    const HEADER: usize = 32;
    let Packing::Packed {
        is_second,
        is_averaged,
        is_correlated,
    } = section.packing
    else {
        return Err(TRUNCATED.to_owned());
    };
    let bytes = section.number.bytes;
    if section.width < 2 || section.section_height == 0 {
        return Err(
            "the array of the CBF file is too narrow to be a frame; give another".to_owned(),
        );
    }
    if section.number.kind == Kind::Float || !(1..=4).contains(&bytes) {
        return Err(
            "packed compression of such numbers is not known here; convert the file".to_owned(),
        );
    }
    let is_signed = section.number.kind == Kind::Signed;
    let clip = 8 * bytes as u32;
    // Sums are taken over the stored words as they are, and get their sign from their highest bit.
    let word = |value: u32| {
        if bytes == 4 {
            value
        } else {
            value & ((1 << clip) - 1)
        }
    };
    let signed = |value: u32| ((value << (32 - clip)) as i32) >> (32 - clip);
    let (width, height) = (section.width, section.section_height);
    let area = width * height;
    let length = width * section.height;
    let mut cells: Vec<u32> = Vec::with_capacity(length);
    let mut bits = Bits::new(data.get(HEADER..).ok_or(TRUNCATED)?);
    while cells.len() < length {
        let run = 1_usize << bits.take(3)?;
        let mut step = if is_second {
            WIDTHS_2[bits.take(4)? as usize & 15]
        } else {
            WIDTHS[bits.take(3)? as usize & 7]
        };
        if step == 65 && is_averaged {
            step = clip;
        }
        for _ in 0..run.min(length - cells.len()) {
            let difference = if step == 65 {
                // The lower 32 bits are all that a number of at most 32 bits can need.
                let low = bits.take(32)?;
                bits.take(32)?;
                bits.take(1)?;
                low as i32
            } else {
                bits.signed(step)?
            };
            let at = cells.len();
            let expected = if is_averaged {
                neighbours(&cells, at, width, area, is_correlated, signed)
            } else {
                at.checked_sub(1).map_or(0, |before| cells[before])
            };
            cells.push(word(expected.wrapping_add(difference as u32)));
        }
    }
    out.reserve(length * bytes);
    for cell in cells {
        let value = if is_signed { signed(cell) as u32 } else { cell };
        out.extend_from_slice(value.to_le_bytes().get(..bytes).unwrap_or_default());
    }
    Ok(())
}

/// The mean of the neighbours that are known already: left, above right, above, above left, and the same below them.
fn neighbours(
    cells: &[u32],
    at: usize,
    width: usize,
    area: usize,
    is_correlated: bool,
    signed: impl Fn(u32) -> i32,
) -> u32 {
    if at == 0 {
        return 0;
    }
    let (x, y, section) = (at % width, at / width % (area / width), at / area);
    let mut sum = 0_u32;
    let mut count = 0_u32;
    let mut add = |place: usize| {
        sum = sum.wrapping_add(cells[place]);
        count += 1;
    };
    if y == 0 {
        // In the first row only the pixel before counts, at its beginning the one in the section below.
        add(if x > 0 { at - 1 } else { at - area });
    } else {
        let (has_left, is_inside) = (x > 0, x > 0 && x + 1 < width);
        for depth in 0..=usize::from(section > 0 && is_correlated) {
            let here = at - depth * area;
            if has_left {
                // Below the current pixel, not below its left neighbour.
                add(if depth == 0 { at - 1 } else { here });
            }
            if is_inside || x == 0 {
                add(here + 1 - width);
            }
            add(here - width);
            if is_inside {
                add(here - width - 1);
            }
        }
    }
    let (round, shift) = match count {
        8 => (4, 3),
        4 => (2, 2),
        2 => (1, 1),
        _ => (0, 0),
    };
    ((signed(sum) + round) >> shift) as u32
}
