//! NumPy archives (.npz): the largest array in it that can be frames.

use std::io::{Cursor, Read};

use super::{Head, npy};

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
                if head.width > 1
                    && head.height > 1
                    && best.as_ref().is_none_or(|(_, most, ..)| size > *most)
                {
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
