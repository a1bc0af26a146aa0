//! Masks of bad pixels in files of their own, in and out.
//!
//! Programs disagree about which value is bad: non-zero in CXI, NXmx, pyFAI, silx, Fit2D and EXtra-data, zero in psana, DIALS
//! and the good bits of CrystFEL. So the polarity is asked for or detected, and always said.

mod dials;
pub mod written;

use std::path::{Path, PathBuf};

use super::h5::{self, Source};
use super::layouts::MaskMeaning;
use super::{Error, images, number};
use crate::domain::frame::MaskPolarity as Polarity;
use crate::domain::grid::Grid;

/// Reads a mask for frames of this size as bits, and says what was taken as bad.
///
/// `path` is HDF5 (`FILE:/h5/path` names the data set), any format of single frames, a mask of Fit2D or DIALS, or numbers as text.
/// Errors: not readable; another size than the frames.
pub fn read_bad(
    path: &Path,
    polarity: Polarity,
    width: usize,
    height: usize,
) -> Result<(Grid<u16>, String), Error> {
    let (file, dataset) = parted(path);
    let (values, kind) = read_values(&file, dataset.as_deref(), width, height)?;
    let zeros = values.cells().iter().filter(|value| **value == 0).count();
    let first = values.cells().iter().copied().find(|value| *value != 0);
    let is_binary = values
        .cells()
        .iter()
        .all(|value| *value == 0 || Some(*value) == first);
    let zero_is_bad = match polarity {
        Polarity::Zero => true,
        Polarity::NonZero => false,
        Polarity::Detected if kind == Kind::Dials => true,
        Polarity::Detected => is_binary && zeros * 2 < values.len(),
    };
    let meaning = match (zero_is_bad, kind) {
        (true, _) => MaskMeaning::Valid,
        (false, Kind::Nexus) if !is_binary => MaskMeaning::Nexus,
        (false, _) => MaskMeaning::Bits {
            good: 0,
            bad: u32::MAX,
        },
    };
    let bits = values.map(|value| meaning.to_bad(*value));
    let count = bits.cells().iter().filter(|bits| **bits != 0).count();
    let name = path.file_name().unwrap_or(path.as_os_str());
    let (what, other) = if zero_is_bad {
        ("0", "nonzero")
    } else {
        ("not 0", "zero")
    };
    let why = match polarity {
        Polarity::Detected => format!("; --bad-pixels-are {other} turns it round"),
        _ => String::new(),
    };
    let notice = format!(
        "bad pixels are those where {} is {what}: {:.2} % of the frame{why}",
        name.to_string_lossy(),
        100.0 * count as f64 / values.len().max(1) as f64,
    );
    Ok((bits, notice))
}

/// What is known of a mask's numbers before they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// Bits of NXmx.
    Nexus,
    /// 1 = good, whatever is more.
    Dials,
}

/// The numbers of a mask of this size, and of which kind they are.
///
/// Errors: as [`read_bad`].
pub fn read_values(
    file: &Path,
    dataset: Option<&str>,
    width: usize,
    height: usize,
) -> Result<(Grid<u32>, Kind), Error> {
    let first = images::prefix(file, 1024)?;
    let (found, values, kind) = if first.starts_with(&h5::MAGIC) {
        let ((size, values), name) = hdf5_values(file, dataset, width, height)?;
        let is_nexus = name.ends_with("pixel_mask");
        (
            size,
            values,
            if is_nexus { Kind::Nexus } else { Kind::Plain },
        )
    } else if dials::is_pickle(&first) {
        let (size, values) = stacked(dials::read(file)?);
        (size, values, Kind::Dials)
    } else if let Some((size, values)) = fit2d(&first, file)? {
        (size, values, Kind::Plain)
    } else if images::is_image(file)? {
        let image = images::read(file, 0, None)?;
        let values = image
            .pixels
            .iter()
            .map(|value| number::mask_value(f64::from(*value)))
            .collect();
        ((image.width, image.height), values, Kind::Plain)
    } else {
        let values = text_values(file)?;
        // Text says no size; so many numbers as the frame has pixels are meant.
        ((width, values.len() / width.max(1)), values, Kind::Plain)
    };
    let grid = Grid::from_cells(width, height, values).filter(|_| found == (width, height));
    let grid = grid.ok_or_else(|| {
        Error::new(
            format!(
                "this mask has {} x {} pixels, the frames {width} x {height}; give the mask of this detector",
                found.0, found.1
            ),
            file,
        )
    })?;
    Ok((grid, kind))
}

/// Panels of one width one above the other, as slabs of modules are stored.
fn stacked(panels: Vec<Values>) -> Values {
    let width = panels.first().map_or(0, |((width, _), _)| *width);
    let is_slab = panels.iter().all(|((other, _), _)| *other == width);
    let height = panels.iter().map(|((_, height), _)| height).sum();
    let values = panels.into_iter().flat_map(|(_, values)| values).collect();
    // Panels of different widths make no slab; the size 0 fits no frame.
    ((if is_slab { width } else { 0 }, height), values)
}

/// Whether a file, by its first bytes, is of a kind that holds a mask: a frame, a mask of Fit2D or DIALS, numbers as text.
///
/// Errors: not readable.
pub fn is_mask(file: &Path, first: &[u8]) -> Result<bool, Error> {
    Ok(dials::is_pickle(first)
        || fit2d(first, file)?.is_some()
        || images::is_image(file)?
        || text_values(file).is_ok())
}

/// `FILE:/h5/path` as file and data set; a file of that very name is itself.
pub fn parted(path: &Path) -> (PathBuf, Option<String>) {
    let text = path.to_string_lossy();
    match text.rsplit_once(":/") {
        Some((file, dataset)) if !path.exists() => (file.into(), Some(format!("/{dataset}"))),
        _ => (path.to_owned(), None),
    }
}

/// Width, height and the cells.
type Values = ((usize, usize), Vec<u32>);

fn hdf5_values(
    file: &Path,
    dataset: Option<&str>,
    width: usize,
    height: usize,
) -> Result<(Values, String), Error> {
    let facts = h5::walk(file)?;
    let wanted = dataset.map(|asked| format!("/{}", asked.trim_start_matches('/')));
    let fits = |path: &&String| {
        let shape = facts.sets.get(*path).and_then(|set| set.frame_shape());
        shape.is_some_and(|(n, h, w)| {
            w == width && (h == height || n.checked_mul(h) == Some(height))
        })
    };
    // Frames have the mask's size too: without a name only what is called a mask, or is the only thing there.
    let is_named = |path: &&String| {
        let path = path.to_lowercase();
        ["mask", "valid", "bad"]
            .into_iter()
            .any(|word| path.contains(word))
    };
    let chosen = match &wanted {
        Some(wanted) => facts.sets.keys().find(|path| *path == wanted),
        None => {
            let fitting: Vec<&String> = facts.sets.keys().filter(fits).collect();
            let only = || fitting.first().copied().filter(|_| fitting.len() == 1);
            fitting
                .iter()
                .copied()
                .find(|path| is_named(path))
                .or_else(only)
        }
    };
    let Some((path, set)) = chosen.and_then(|path| Some((path, facts.sets.get(path)?))) else {
        return Err(Error::new(
            "no mask of the frames' size in this HDF5 file; name it as FILE:/h5/path",
            file,
        ));
    };
    if !fits(&path) {
        let (n, h, w) = set.frame_shape().unwrap_or_default();
        return Err(Error::new(
            format!(
                "the mask {path} has {n} x {h} x {w} pixels, the frames {width} x {height}; give the mask of this detector"
            ),
            file,
        ));
    }
    let source = Source::from_facts(set, file, path)?;
    // Modules one above the other are one mask; of a mask for each frame the first counts.
    let rows = if source.height == height {
        1
    } else {
        source.rows
    };
    let mut values = Vec::new();
    for row in 0..rows {
        let raw = source.read(row)?;
        let row = number::decode_mask(raw.number, &raw.bytes)
            .ok_or_else(|| Error::new(format!("the mask {path} holds no numbers"), file))?;
        values.extend(row);
    }
    let size = (source.width, source.height * rows);
    Ok(((size, values), path.clone()))
}

/// Fit2D's mask: a header of 1 KiB with the letters MASK in words of their own, then one bit a pixel, rows in whole
/// words of 32 bits, the lowest bit first (FabIO, fit2dmaskimage, which pyFAI reads them with).
fn fit2d(first: &[u8], file: &Path) -> Result<Option<Values>, Error> {
    let word = |at: usize| Some(u32::from_le_bytes(*first.get(at..)?.first_chunk()?));
    let letters: Vec<u8> = [0, 4, 8, 12]
        .iter()
        .filter_map(|at| first.get(*at).copied())
        .collect();
    let (true, Some(width), Some(height)) = (letters == *b"MASK", word(16), word(20)) else {
        return Ok(None);
    };
    let (width, height) = (width as usize, height as usize);
    let truncated = || {
        Error::new(
            "the mask is truncated; copy it again from where it came",
            file,
        )
    };
    let bytes = std::fs::read(file).map_err(|error| Error::reading(&error, file))?;
    let stride = width.div_ceil(32) * 4;
    let body = bytes.get(1024..).ok_or_else(truncated)?;
    if stride
        .checked_mul(height)
        .is_none_or(|size| size > body.len() || width == 0)
    {
        return Err(truncated());
    }
    let mut values = Vec::with_capacity(width * height);
    for row in body.chunks(stride).take(height) {
        values.extend(
            (0..width)
                .map(|x| u32::from(row.get(x / 8).is_some_and(|byte| byte >> (x % 8) & 1 == 1))),
        );
    }
    Ok(Some(((width, height), values)))
}

fn text_values(file: &Path) -> Result<Vec<u32>, Error> {
    let text = std::fs::read_to_string(file).map_err(|_| {
        Error::new(
            "this is no mask that can be read (HDF5, NPY, EDF, TIFF, PNG, CBF, Fit2D .msk, DIALS, text); give another file",
            file,
        )
    })?;
    text.split([' ', '\t', '\n', '\r', ','])
        .filter(|word| !word.is_empty())
        .map(|word| {
            let number = word.parse::<f64>().ok().map(number::mask_value);
            number.ok_or_else(|| {
                Error::new(
                    format!(
                        "this text is no mask, it has {:?} in it; write numbers only",
                        word.chars().take(20).collect::<String>()
                    ),
                    file,
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::written::{MaskFormat, write};
    use super::*;
    use crate::domain::frame::bad;
    use crate::fs::write_whole;

    #[test]
    fn every_format_comes_back_and_the_polarity_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (width, height) = (37, 11);
        let is_bad = |x: usize, y: usize| (x * 7 + y * 3).is_multiple_of(13) || y == 2;
        let mask = Grid::from_fn(width, height, |x, y| u16::from(is_bad(x, y)) * bad::HOT);
        for name in ["a.npy", "a.h5", "a.edf", "a.tif", "a.png", "a.msk"] {
            let path = folder.path().join(name);
            let format = MaskFormat::of(&path).unwrap();
            write(&path, format, &mask, bad::NOT_VALID, false).unwrap();
            assert!(
                write(&path, format, &mask, bad::NOT_VALID, false).is_err(),
                "{name}"
            );
            let (read, notice) = read_bad(&path, Polarity::Detected, width, height).unwrap();
            let found = read.map(|bits| u16::from(*bits != 0) * bad::HOT);
            assert_eq!(found.cells(), mask.cells(), "{name}: {notice}");
            assert!(notice.contains("not 0"), "{notice}");
            let (turned, _) = read_bad(&path, Polarity::Zero, width, height).unwrap();
            assert!(
                turned
                    .cells()
                    .iter()
                    .zip(mask.cells())
                    .all(|(a, b)| (*a == 0) != (*b == 0))
            );
            assert!(
                read_bad(&path, Polarity::Detected, width + 1, height).is_err(),
                "{name}"
            );
        }
        // Row 0 first, its first pixel in the lowest bit.
        let msk = std::fs::read(folder.path().join("a.msk")).unwrap();
        let row: Vec<bool> = (0..8).map(|x| msk[1024] >> x & 1 == 1).collect();
        assert_eq!(row, (0..8).map(|x| is_bad(x, 0)).collect::<Vec<_>>());
        // DIALS and psana: 1 is good, and most are.
        let text: Vec<String> = (0..height)
            .map(|y| {
                (0..width)
                    .map(|x| if is_bad(x, y) { "0 " } else { "1 " })
                    .collect()
            })
            .collect();
        let path = folder.path().join("a.txt");
        write_whole(&path, text.join("\n").as_bytes(), false).unwrap();
        let (read, notice) = read_bad(&path, Polarity::Detected, width, height).unwrap();
        assert!(
            read.cells()
                .iter()
                .zip(mask.cells())
                .all(|(a, b)| (*a == 0) == (*b == 0)),
            "{notice}"
        );
        // What is not 0 stays so, whatever its sign or size.
        let text: String = (0..width * height)
            .map(|at| ["0 ", "-1 ", "0.25 ", "1e12 "][if at < 4 { at } else { 0 }])
            .collect();
        write_whole(&path, text.as_bytes(), true).unwrap();
        let (read, _) = read_bad(&path, Polarity::Detected, width, height).unwrap();
        let bad_ones = read
            .cells()
            .iter()
            .enumerate()
            .filter(|(_, bits)| **bits != 0);
        assert_eq!(bad_ones.map(|(at, _)| at).collect::<Vec<_>>(), [1, 2, 3]);
        let named = PathBuf::from(format!("{}:/mask", folder.path().join("a.h5").display()));
        assert!(read_bad(&named, Polarity::NonZero, width, height).is_ok());
    }
}
