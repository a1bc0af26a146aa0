//! NumPy archives (.npz): the largest array in it that can be frames, or frames that are stored sparsely.

use std::io::{Cursor, Read};

use super::super::number::{Kind, Number};
use super::{Decoded, Head, npy};

/// A sparse frame takes far less memory in the file than unpacked, so that its header could claim anything.
const MOST_SPARSE: usize = 1 << 26;
/// Edges of arrays that can be frames when nobody says that they are.
const LEAST_EDGE: usize = 16;

/// One frame; the archive holds them as they are, or sparsely.
pub fn decode(bytes: &[u8], frame: usize) -> Result<Decoded, String> {
    if let Some(head) = sparse_head(bytes) {
        return sparse_frame(bytes, head?, frame);
    }
    let (head, start, array) = array(bytes, super::MOST_BYTES)?;
    super::cut(&array, head, start, frame)
}

/// The header of either kind.
pub fn head(bytes: &[u8]) -> Result<Head, String> {
    match sparse_head(bytes) {
        Some(head) => head,
        None => array(bytes, super::HEAD_BYTES).map(|(head, ..)| head),
    }
}

/// The integers of an array of at most `most` cells; looked at before anything is unpacked.
fn integers(bytes: &[u8], name: &str, most: usize) -> Result<(Number, Vec<u64>), String> {
    let damaged = || format!("the npz file has no readable array {name}; write it again");
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|_| damaged())?;
    let mut entry = archive
        .by_name(&format!("{name}.npy"))
        .map_err(|_| damaged())?;
    let mut first = Vec::new();
    let read = entry.by_ref().take(1024).read_to_end(&mut first);
    read.map_err(|_| damaged())?;
    let (stored, shape, start) = npy::array(&first)?;
    let cells = shape.iter().try_fold(1_usize, |all, n| all.checked_mul(*n));
    let cells = cells.filter(|cells| *cells <= most).ok_or_else(damaged)?;
    if stored.kind == Kind::Float || stored.big_endian {
        return Err(damaged());
    }
    let size = start + cells * stored.bytes;
    let mut content = first;
    let rest = size.saturating_sub(content.len()) as u64;
    let read = entry.take(rest).read_to_end(&mut content);
    read.map_err(|_| damaged())?;
    let whole = |cell: &[u8]| {
        let mut all = [0; 8];
        for (to, from) in all.iter_mut().zip(cell) {
            *to = *from;
        }
        u64::from_le_bytes(all)
    };
    let cells = content.get(start..size).ok_or_else(damaged)?;
    Ok((
        stored,
        cells.chunks_exact(stored.bytes).map(whole).collect(),
    ))
}

/// The header of a frame cache of HEXRD: for every frame the places and counts of the pixels that are not 0.
///
/// HEXRD, imageseries/save.py: arrays `shape`, `nframes`, and `N_row`, `N_col`, `N_data`. `None` for other archives.
fn sparse_head(bytes: &[u8]) -> Option<Result<Head, String>> {
    let archive = zip::ZipArchive::new(Cursor::new(bytes)).ok()?;
    let has = |name: &str| archive.index_for_name(name).is_some();
    if !["shape.npy", "nframes.npy", "0_row.npy", "0_data.npy"]
        .into_iter()
        .all(has)
    {
        return None;
    }
    let read = || {
        let (_, shape) = integers(bytes, "shape", 8)?;
        let (_, frames) = integers(bytes, "nframes", 1)?;
        let size = |n: Option<&u64>| n.and_then(|n| usize::try_from(*n).ok()).unwrap_or(0);
        let (height, width) = (size(shape.first()), size(shape.get(1)));
        if height
            .checked_mul(width)
            .is_none_or(|n| n == 0 || n > MOST_SPARSE)
        {
            return Err(format!(
                "the npz file claims sparse frames of {width} x {height} pixels, which cannot be"
            ));
        }
        let (stored, _) = integers(bytes, "0_data", width * height)?;
        let mut head = Head::new("HEXRD frame cache", width, height, stored);
        // Every frame has three arrays, whatever the number says.
        head.frames = size(frames.first()).min(archive.len() / 3);
        head.compression = Some("sparse");
        Ok(head)
    };
    Some(read())
}

fn sparse_frame(bytes: &[u8], head: Head, frame: usize) -> Result<Decoded, String> {
    let most = head.width * head.height;
    let (_, rows) = integers(bytes, &format!("{frame}_row"), most)?;
    let (_, columns) = integers(bytes, &format!("{frame}_col"), most)?;
    let (stored, counts) = integers(bytes, &format!("{frame}_data"), most)?;
    let mut dense = vec![0; head.width * head.height * head.number.bytes];
    for ((row, column), count) in rows.iter().zip(&columns).zip(&counts) {
        let place = usize::try_from(*row)
            .ok()
            .zip(usize::try_from(*column).ok());
        let cell = place
            .filter(|(row, column)| *row < head.height && *column < head.width)
            .map(|(row, column)| (row * head.width + column) * stored.bytes);
        let cell = cell.and_then(|at| dense.get_mut(at..at + stored.bytes));
        let Some(cell) = cell.filter(|_| stored.bytes == head.number.bytes) else {
            return Err(format!(
                "frame {frame} of the npz file has a pixel outside of it; write the file again"
            ));
        };
        cell.copy_from_slice(count.to_le_bytes().get(..stored.bytes).unwrap_or_default());
    }
    Ok(Decoded { head, bytes: dense })
}

/// The header of the array, where its pixels begin in its bytes, and those bytes.
pub fn array(bytes: &[u8], most: u64) -> Result<(Head, usize, Vec<u8>), String> {
    let damaged = |what: zip::result::ZipError| {
        format!("the npz file is truncated or damaged ({what}); write it again with numpy.savez")
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let mut best: Option<(usize, usize, Head, usize)> = None;
    let mut reason = "the npz file holds no array; give one with frames".to_owned();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?.into_owned();
        if !name.ends_with(".npy") {
            continue;
        }
        let mut first = Vec::new();
        entry
            .take(super::HEAD_BYTES)
            .read_to_end(&mut first)
            .map_err(|what| damaged(what.into()))?;
        match npy::head(&first) {
            Ok((mut head, start)) => {
                let size = head
                    .width
                    .saturating_mul(head.height)
                    .saturating_mul(head.frames);
                if head.width < LEAST_EDGE || head.height < LEAST_EDGE {
                    reason = format!(
                        "the array {name} of {} x {} numbers is no detector frame, nor is another one in the npz file",
                        head.width, head.height
                    );
                } else if best.as_ref().is_none_or(|(_, most, ..)| size > *most) {
                    if archive.len() > 1 {
                        head.notices.push(format!(
                            "of the {} arrays in the npz file this is {name}",
                            archive.len()
                        ));
                    }
                    best = Some((index, size, head, start));
                }
            }
            Err(what) => reason = what,
        }
    }
    let (index, _, mut head, start) = best.ok_or(reason)?;
    head.format = "NPZ";
    let entry = archive.by_index(index).map_err(damaged)?;
    if entry.compression() != zip::CompressionMethod::Stored {
        head.compression = Some("deflate");
    }
    let mut array = Vec::new();
    entry
        .take(most)
        .read_to_end(&mut array)
        .map_err(|what| damaged(what.into()))?;
    Ok((head, start, array))
}
