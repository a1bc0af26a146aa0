//! Bruker frames of format 86 (.gfrm, numbered) and 100 (.sfrm): lines of 80 characters, small numbers, overflow tables.

use super::super::number::{Codes, Kind, Number};
use super::text::{latin, numbers};
use super::{Decoded, Head, TRUNCATED};

const LINE: usize = 80;
const BLOCK: usize = 512;

/// Whether a file begins like one.
pub fn is_bruker(first: &[u8]) -> bool {
    let line = latin(first.get(..LINE).unwrap_or_default());
    line.strip_prefix("FORMAT :")
        .is_some_and(|format| matches!(format.trim(), "86" | "100"))
}

/// The lines of the header by key.
struct Lines(String);

impl Lines {
    fn of(bytes: &[u8]) -> Result<Self, String> {
        let first = Self(latin(bytes.get(..5 * BLOCK).ok_or(TRUNCATED)?));
        let blocks = first.whole("HDRBLKS", 0).unwrap_or(15).clamp(5, 200);
        Ok(Self(latin(bytes.get(..blocks * BLOCK).ok_or(TRUNCATED)?)))
    }

    fn value(&self, key: &str) -> Option<&str> {
        // The text is Latin-1 of bytes below 128 wherever it matters, so that characters can be counted as bytes.
        let lines = (0..self.0.len() / LINE).filter_map(|i| self.0.get(i * LINE..(i + 1) * LINE));
        lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim() == key)
            .map(|(_, value)| value.trim())
    }

    fn number(&self, key: &str, index: usize) -> Option<f64> {
        numbers(self.value(key)?).get(index).copied()
    }

    fn whole(&self, key: &str, index: usize) -> Option<usize> {
        let value = self.number(key, index)?;
        (value >= 0.0 && value.fract() == 0.0).then_some(value as usize)
    }
}

/// The header; keys as in Bruker's "Frame file formats" (SAINT manual, appendix), units in its own words.
pub fn head(first: &[u8]) -> Result<Head, String> {
    head_of(&Lines::of(first)?)
}

fn head_of(lines: &Lines) -> Result<Head, String> {
    let (Some(width), Some(height)) = (lines.whole("NCOLS", 0), lines.whole("NROWS", 0)) else {
        return Err(
            "the Bruker header does not say how large the frame is; copy the file again".to_owned(),
        );
    };
    let is_scaled = scale(lines) != (1.0, 0.0);
    let number = if is_scaled {
        Number::F32
    } else {
        Number::new(Kind::Signed, 4)
    };
    let mut head = Head::new("Bruker", width, height, number.native());
    head.codes = Codes::None;
    head.saturation = lines
        .number("CCDPARM", 4)
        .filter(|counts| *counts > 0.0)
        .map(|counts| counts as f32);
    let positive = |key, index| lines.number(key, index).filter(|value| *value > 0.0);
    head.geometry.wavelength_angstrom = positive("WAVELEN", 0);
    head.geometry.detector_distance_m = positive("DISTANC", 0).map(|cm| cm / 100.0);
    let kind = lines.value("DETTYPE").unwrap_or_default();
    head.detector = kind.split_whitespace().next().map(str::to_owned);
    // After the name come pixels per centimetre of a frame of 512 x 512.
    let words: Vec<&str> = kind.split_whitespace().skip(1).collect();
    let per_cm = words
        .first()
        .and_then(|word| word.parse::<f64>().ok())
        .filter(|n| *n > 0.0);
    let size = per_cm.map(|n| 0.01 / n * 512.0 / width as f64);
    head.geometry.pixel_size_m = size.map(|size| [size; 2]);
    let center = lines.number("CENTER", 0).zip(lines.number("CENTER", 1));
    if let Some((x, y)) = center.filter(|center| *center != (0.0, 0.0)) {
        // Given for a frame of 512 pixels, y from the bottom.
        let scale = width as f64 / 512.0;
        head.geometry.beam_center_px = Some([x * scale, height as f64 - y * scale]);
        head.notices.push(
            "the beam centre of Bruker headers is that of a detector that is not swung out; check it"
                .to_owned(),
        );
    }
    Ok(head)
}

/// Slope and offset from stored numbers to counts.
fn scale(lines: &Lines) -> (f64, f64) {
    (
        lines.number("LINEAR", 0).unwrap_or(1.0),
        lines.number("LINEAR", 1).unwrap_or(0.0),
    )
}

/// The pixels, in the machine's byte order.
pub fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let lines = Lines::of(bytes)?;
    let head = head_of(&lines)?;
    let length = head
        .width
        .checked_mul(head.height)
        .filter(|n| *n <= super::MOST_PIXELS)
        .ok_or(TRUNCATED)?;
    let mut at = lines.whole("HDRBLKS", 0).unwrap_or(15).clamp(5, 200) * BLOCK;
    let wide = lines.whole("NPIXELB", 0).unwrap_or(1);
    let mut cells = integers(part(bytes, &mut at, length, wide, 1)?, wide, false)?;
    if lines.whole("FORMAT", 0) == Some(100) {
        overflows_100(bytes, at, &lines, wide, &mut cells)?;
    } else {
        // A table of text: nine characters of counts, seven of the pixel's number.
        for entry in 0..lines.whole("NOVERFL", 0).unwrap_or(0) {
            let start = at + 16 * entry;
            let text = latin(bytes.get(start..start + 16).ok_or(TRUNCATED)?);
            let field = |range: std::ops::Range<usize>| text.get(range)?.trim().parse::<i64>().ok();
            if let (Some(counts), Some(place)) = (field(0..9), field(9..16))
                && let Some(cell) = usize::try_from(place)
                    .ok()
                    .and_then(|place| cells.get_mut(place))
            {
                *cell = counts;
            }
        }
    }
    let (slope, offset) = scale(&lines);
    let bytes = if (slope, offset) == (1.0, 0.0) {
        let cells: Vec<i32> = cells.into_iter().map(|value| value as i32).collect();
        bytemuck::cast_slice(&cells).to_vec()
    } else {
        let scaled = |value: i64| (value as f64 * slope + offset) as f32;
        let cells: Vec<f32> = cells.into_iter().map(scaled).collect();
        bytemuck::cast_slice(&cells).to_vec()
    };
    Ok(Decoded { head, bytes })
}

/// The next `count` numbers of `wide` bytes; the place moves on to a multiple of `padding` behind them.
fn part<'a>(
    bytes: &'a [u8],
    at: &mut usize,
    count: usize,
    wide: usize,
    padding: usize,
) -> Result<&'a [u8], String> {
    let size = count.checked_mul(wide).ok_or(TRUNCATED)?;
    let found = bytes
        .get(*at..at.checked_add(size).ok_or(TRUNCATED)?)
        .ok_or(TRUNCATED)?;
    *at += size.next_multiple_of(padding);
    Ok(found)
}

fn integers(bytes: &[u8], wide: usize, is_signed: bool) -> Result<Vec<i64>, String> {
    Ok(match (wide, is_signed) {
        (1, false) => bytes.iter().map(|byte| i64::from(*byte)).collect(),
        (1, true) => bytes.iter().map(|byte| i64::from(*byte as i8)).collect(),
        (2, false) => bytes
            .as_chunks()
            .0
            .iter()
            .map(|cell| i64::from(u16::from_le_bytes(*cell)))
            .collect(),
        (2, true) => bytes
            .as_chunks()
            .0
            .iter()
            .map(|cell| i64::from(i16::from_le_bytes(*cell)))
            .collect(),
        (4, _) => bytes
            .as_chunks()
            .0
            .iter()
            .map(|cell| i64::from(i32::from_le_bytes(*cell)))
            .collect(),
        _ => {
            return Err(format!(
                "the Bruker file has numbers of {wide} bytes, which is not readable here; convert it"
            ));
        }
    })
}

/// Format 100: three tables behind the pixels, each padded to 16 bytes; numbers stand for the pixels that are at their limit,
/// in order.
fn overflows_100(
    bytes: &[u8],
    mut at: usize,
    lines: &Lines,
    wide: usize,
    cells: &mut [i64],
) -> Result<(), String> {
    let under_wide = lines.whole("NPIXELB", 1).unwrap_or(1);
    // A count of -1 says that there is no table of underflows and no baseline.
    let count = |index| lines.number("NOVERFL", index).unwrap_or(-1.0);
    let mut table = |count: f64, wide: usize, is_signed: bool| {
        if count > 0.0 {
            let bytes = part(bytes, &mut at, count as usize, wide, 16)?;
            integers(bytes, wide, is_signed)
        } else {
            Ok(Vec::new())
        }
    };
    let under = table(count(0), under_wide, true)?;
    let over_1 = table(count(1), 2, false)?;
    let over_2 = table(count(2), 4, true)?;
    let mut replace = |limit: i64, values: Vec<i64>| {
        let full = cells.iter_mut().filter(|cell| **cell == limit);
        for (cell, value) in full.zip(values) {
            *cell = value;
        }
    };
    if wide == 1 {
        replace(255, over_1);
    }
    if wide < 4 {
        replace(65_535, over_2);
    }
    if count(0) >= 0.0 {
        let baseline = lines.number("NEXP", 2).unwrap_or(0.0) as i64;
        let mut under = under.into_iter();
        for cell in cells {
            *cell = match (*cell, under.len()) {
                (0, 1..) => under.next().unwrap_or(0),
                (value, _) => value.wrapping_add(baseline),
            };
        }
    }
    Ok(())
}
