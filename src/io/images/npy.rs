//! NumPy arrays: (height, width) or (frames, height, width).

use super::super::number::{Kind, Number};
use super::Head;
use super::text::latin;

/// The header of an array that can be frames, and where the pixels begin.
pub fn head(first: &[u8]) -> Result<(Head, usize), String> {
    let (stored, shape, start) = array(first)?;
    let (frames, height, width) = match shape.as_slice() {
        [height, width] => (1, *height, *width),
        [frames, height, width] => (*frames, *height, *width),
        other => {
            return Err(format!(
                "the npy file has {} axes; frames have two or three",
                other.len()
            ));
        }
    };
    let mut head = Head::new("NPY", width, height, stored);
    head.frames = frames;
    Ok((head, start))
}

/// How the numbers of any array are stored, its shape, and where they begin.
///
/// Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
pub fn array(first: &[u8]) -> Result<(Number, Vec<usize>, usize), String> {
    let damaged =
        || "the header of the npy file is damaged; write it again with numpy.save".to_owned();
    let (start, length) = match first.get(6) {
        Some(1) => (
            10,
            usize::from(u16::from_le_bytes(
                *first
                    .get(8..)
                    .and_then(|b| b.first_chunk())
                    .ok_or_else(damaged)?,
            )),
        ),
        Some(2 | 3) => (
            12,
            u32::from_le_bytes(
                *first
                    .get(8..)
                    .and_then(|b| b.first_chunk())
                    .ok_or_else(damaged)?,
            ) as usize,
        ),
        _ => return Err(damaged()),
    };
    let text = latin(first.get(start..start + length).ok_or_else(damaged)?);
    let after = |key: &str| text.find(key).and_then(|at| text.get(at + key.len()..));
    let description = after("'descr':")
        .and_then(|rest| rest.split('\'').nth(1))
        .ok_or_else(damaged)?;
    if after("'fortran_order':").is_some_and(|rest| rest.trim_start().starts_with("True")) {
        return Err(
            "the npy file is in Fortran order; save numpy.ascontiguousarray of it".to_owned(),
        );
    }
    let (order, kind) = description.split_at_checked(1).ok_or_else(damaged)?;
    let mut stored = match kind {
        "u1" | "b1" => Number::U8,
        "u2" => Number::new(Kind::Unsigned, 2),
        "u4" => Number::new(Kind::Unsigned, 4),
        "u8" => Number::new(Kind::Unsigned, 8),
        "i1" => Number::new(Kind::Signed, 1),
        "i2" => Number::new(Kind::Signed, 2),
        "i4" => Number::new(Kind::Signed, 4),
        "i8" => Number::new(Kind::Signed, 8),
        "f4" => Number::F32,
        "f8" => Number::new(Kind::Float, 8),
        other => {
            return Err(format!(
                "the npy file holds {other:?}, which is not readable here; save float32"
            ));
        }
    };
    stored.big_endian = order == ">";
    let shape: Vec<usize> = after("'shape':")
        .and_then(|rest| rest.split(['(', ')']).nth(1))
        .ok_or_else(damaged)?
        .split(',')
        .filter_map(|n| n.trim().parse().ok())
        .collect();
    Ok((stored, shape, start + length))
}
