//! SET.h5: labelled frames frozen for training. Written whole, read frame by frame, checked by digest.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Error;
use super::cxi_out::program;
use super::h5::{self, Creation, Source, Writer};
use super::number::{self, Codes};
use crate::domain::frame::{Frame, bad};
use crate::domain::grid::Grid;
use crate::domain::labels::{Class, Sheet};
use crate::fs::Pending;

/// The value of the attribute `format`.
const FORMAT: &str = "peaknet-set";
const VERSION: f64 = 1.0;

/// What a frame of a set is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    Train,
    Validation,
    HeldOut,
}

impl Split {
    pub const fn code(self) -> u8 {
        match self {
            Self::Train => 0,
            Self::Validation => 1,
            Self::HeldOut => 2,
        }
    }

    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Train),
            1 => Some(Self::Validation),
            2 => Some(Self::HeldOut),
            _ => None,
        }
    }
}

/// One labelled frame of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct SetFrame {
    pub frame: Frame,
    pub sheet: Sheet,
    /// Frames of one run have one number.
    pub run: i32,
    pub split: Split,
    /// One JSON text: source path, frame, event id, curator, review, net, times.
    pub metadata: String,
}

/// What a set says about itself as a whole.
#[derive(Clone, Debug, Default)]
pub struct SetHeader {
    /// Free words, kept as the attribute `description`.
    pub description: String,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetSummary {
    pub frames: usize,
    pub width: usize,
    pub height: usize,
    /// Frames for training, validation, held out.
    pub splits: [usize; 3],
    /// SHA-256 over sizes, pixels, labels, valid pixels, runs and splits, in hexadecimal.
    pub digest: String,
}

/// Splits by run: of three and more runs whole ones are held out and validate; of fewer, contiguous blocks
/// (seven tenths train, the rest in halves), about which the second value says a sentence.
pub fn split_by_run(runs: &[i32]) -> (Vec<Split>, Option<String>) {
    let mut order: Vec<i32> = Vec::new();
    for run in runs {
        if !order.contains(run) {
            order.push(*run);
        }
    }
    if order.len() >= 3 {
        // Every fifth run or at least one is held out, as many validate.
        let apart = (order.len() / 5).max(1);
        let split_of = |run: &i32| {
            let place = order.iter().position(|other| other == run).unwrap_or(0);
            let from_end = order.len() - 1 - place;
            if from_end < apart {
                Split::HeldOut
            } else if from_end < 2 * apart {
                Split::Validation
            } else {
                Split::Train
            }
        };
        return (runs.iter().map(split_of).collect(), None);
    }
    let n = runs.len();
    let train = n * 7 / 10;
    let validation = train + (n - train) / 2;
    let splits = (0..n)
        .map(|i| {
            if i < train.max(1) {
                Split::Train
            } else if i < validation.max(1) {
                Split::Validation
            } else {
                Split::HeldOut
            }
        })
        .collect();
    let notice = format!(
        "{} of three runs: the set is split in contiguous blocks, so held-out scores are optimistic",
        match order.len() {
            0 => "none",
            1 => "only one",
            _ => "only two",
        }
    );
    (splits, Some(notice))
}

/// The digest while frames go by.
struct Sum(Sha256);

impl Sum {
    fn new(width: usize, height: usize) -> Self {
        let mut sum = Sha256::new();
        sum.update(format!("{FORMAT} {VERSION} {width} {height}\n"));
        Self(sum)
    }

    fn add(&mut self, images: &[f32], labels: &[u8], valid: &[u8], run: i32, split: Split) {
        for block in images.chunks(4096) {
            let mut bytes = Vec::with_capacity(block.len() * 4);
            for value in block {
                bytes.extend_from_slice(&value.to_le_bytes());
            }
            self.0.update(&bytes);
        }
        self.0.update(labels);
        self.0.update(valid);
        self.0.update(run.to_le_bytes());
        self.0.update([split.code()]);
    }

    fn finish(self) -> String {
        self.0
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Writes a set; frames are taken one at a time, so memory stays bounded.
///
/// Errors: no frame; frames of different sizes; the file exists without `force`; what the iterator says.
pub fn write_set(
    path: &Path,
    header: &SetHeader,
    frames: impl Iterator<Item = Result<SetFrame, Error>>,
    force: bool,
) -> Result<SetSummary, Error> {
    let pending = Pending::new(path, force)?;
    let writer = Writer::create(pending.path(), path)?;
    let mut open: Option<(h5::Chunks, h5::Chunks, h5::Chunks, Sum, usize, usize)> = None;
    let (mut runs, mut splits, mut metadata) = (Vec::new(), Vec::new(), Vec::new());
    for item in frames {
        let item = item?;
        let (width, height) = (item.frame.width(), item.frame.height());
        if open.is_none() {
            let creation = |level| Creation::frames(height, width, level);
            open = Some((
                writer.chunks::<f32>("/images", &creation(4))?,
                writer.chunks::<u8>("/labels", &creation(4))?,
                writer.chunks::<u8>("/valid", &creation(4))?,
                Sum::new(width, height),
                width,
                height,
            ));
        }
        let Some((images, labels, valid, sum, w, h)) = &mut open else {
            continue;
        };
        if (width, height) != (*w, *h) || (item.sheet.width(), item.sheet.height()) != (*w, *h) {
            return Err(Error::new(
                format!(
                    "a frame of {width} x {height} pixels among frames of {w} x {h}; export one size a set"
                ),
                path,
            ));
        }
        // Pixels that are not finite are not valid: plain readers get 0 there.
        let pixels: Vec<f32> = item
            .frame
            .pixels
            .cells()
            .iter()
            .map(|v| if v.is_finite() { *v } else { 0.0 })
            .collect();
        let good: Vec<u8> = item
            .frame
            .bad
            .cells()
            .iter()
            .map(|bits| u8::from(bits & bad::NOT_VALID == 0))
            .collect();
        let row = runs.len();
        for chunks in [&mut *images, &mut *labels, &mut *valid] {
            chunks.grow(&[row + 1, height, width])?;
        }
        images.write(&[row, 0, 0], &pixels)?;
        labels.write(&[row, 0, 0], item.sheet.cells())?;
        valid.write(&[row, 0, 0], &good)?;
        sum.add(&pixels, item.sheet.cells(), &good, item.run, item.split);
        runs.push(item.run);
        splits.push(item.split);
        metadata.push(item.metadata);
    }
    let Some((.., sum, width, height)) = open else {
        return Err(Error::new("no frame to write; confirm labels first", path));
    };
    let digest = sum.finish();
    let codes: Vec<u8> = splits.iter().map(|split| split.code()).collect();
    writer.array("/run", &[runs.len()], &runs)?;
    writer.array("/split", &[codes.len()], &codes)?;
    writer.texts("/metadata", &metadata)?;
    let classes: Vec<String> = Class::ALL
        .iter()
        .map(|class| format!("{}={}", class.code(), class.name()))
        .collect();
    writer.attribute("/", "format", FORMAT)?;
    writer.number_attribute("/", "version", VERSION)?;
    writer.attribute("/", "classes", &classes.join(","))?;
    writer.attribute("/", "digest", &digest)?;
    writer.attribute("/", "program", &program())?;
    writer.attribute("/", "description", &header.description)?;
    writer.close()?;
    pending.commit()?;
    let count = |which| splits.iter().filter(|split| **split == which).count();
    Ok(SetSummary {
        frames: runs.len(),
        width,
        height,
        splits: [
            count(Split::Train),
            count(Split::Validation),
            count(Split::HeldOut),
        ],
        digest,
    })
}

/// An opened set. Reading is possible from any thread.
#[derive(Debug)]
pub struct Set {
    path: PathBuf,
    images: Source,
    labels: Source,
    valid: Option<Source>,
    runs: Vec<i32>,
    splits: Vec<Split>,
    metadata: Vec<String>,
    digest: String,
}

/// Opens a set, or any HDF5 file with the pair `/images` and `/labels` of one shape.
///
/// Errors: no such pair; lists that do not fit.
pub fn open_set(path: impl AsRef<Path>) -> Result<Set, Error> {
    let path = path.as_ref();
    if let Err(error) = std::fs::File::open(path) {
        return Err(Error::reading(&error, path));
    }
    let facts = h5::walk(path)?;
    let source = |name: &str| match facts.sets.get(name) {
        Some(set) => Source::from_facts(set, path, name).map(Some),
        None => Ok(None),
    };
    let (Some(images), Some(labels)) = (source("/images")?, source("/labels")?) else {
        return Err(Error::new(
            "no /images and /labels, so this is no training set; export one from a project",
            path,
        ));
    };
    let shape = |source: &Source| (source.rows, source.height, source.width);
    let valid = source("/valid")?;
    if shape(&images) != shape(&labels)
        || valid
            .as_ref()
            .is_some_and(|valid| shape(valid) != shape(&images))
    {
        return Err(Error::new(
            "/images, /labels and /valid differ in shape; export the set again",
            path,
        ));
    }
    let n = images.rows;
    let numbers = |name: &str| -> Result<Option<Vec<f64>>, Error> {
        if !facts.sets.contains_key(name) {
            return Ok(None);
        }
        let (_, values) = h5::read_all(path, name)?;
        if values.len() == n {
            Ok(Some(values))
        } else {
            Err(Error::new(
                format!(
                    "{name} has {} entries for {n} frames; export the set again",
                    values.len()
                ),
                path,
            ))
        }
    };
    let runs = numbers("/run")?.map_or_else(
        || vec![0; n],
        |runs| runs.iter().map(|run| *run as i32).collect(),
    );
    let splits = match numbers("/split")? {
        Some(codes) => codes
            .iter()
            .map(|code| Split::from_code(*code as u8))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| {
                Error::new(
                    "/split has a code other than 0, 1 and 2; export the set again",
                    path,
                )
            })?,
        None => split_by_run(&runs).0,
    };
    let mut metadata = if facts.sets.contains_key("/metadata") {
        h5::read_texts(path, "/metadata")?
    } else {
        Vec::new()
    };
    metadata.resize(n, "{}".to_owned());
    let digest = facts
        .attribute("/", "digest")
        .and_then(|value| value.text())
        .unwrap_or_default()
        .to_owned();
    Ok(Set {
        path: path.to_owned(),
        images,
        labels,
        valid,
        runs,
        splits,
        metadata,
        digest,
    })
}

impl Set {
    pub const fn len(&self) -> usize {
        self.images.rows
    }

    pub const fn is_empty(&self) -> bool {
        self.images.rows == 0
    }

    pub const fn width(&self) -> usize {
        self.images.width
    }

    pub const fn height(&self) -> usize {
        self.images.height
    }

    /// As written in the file; empty for a file that has none.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub fn splits(&self) -> &[Split] {
        &self.splits
    }

    pub fn runs(&self) -> &[i32] {
        &self.runs
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads one labelled frame; codes that mean nothing become "ignore".
    pub fn read(&self, index: usize) -> Result<SetFrame, Error> {
        let (width, height) = (self.width(), self.height());
        let wrong = || {
            Error::new(
                format!("frame {index} of the set is not readable"),
                &self.path,
            )
        };
        let raw = self.images.read(index)?;
        let decoded = number::decoded(raw.number, &raw.bytes, Codes::None);
        let (pixels, mut bits) = decoded
            .filter(|(pixels, _)| pixels.len() == width * height)
            .ok_or_else(wrong)?;
        if let Some(valid) = &self.valid {
            let raw = valid.read(index)?;
            let values = number::decode_mask(raw.number, &raw.bytes).ok_or_else(wrong)?;
            for (bits, value) in bits.iter_mut().zip(values) {
                *bits |= u16::from(value == 0) * bad::INVALID;
            }
        }
        let raw = self.labels.read(index)?;
        let codes: Vec<u8> = number::decode_mask(raw.number, &raw.bytes)
            .ok_or_else(wrong)?
            .into_iter()
            .map(|code| {
                u8::try_from(code)
                    .ok()
                    .and_then(Class::from_code)
                    .unwrap_or(Class::Ignore)
                    .code()
            })
            .collect();
        let pixels = Grid::from_cells(width, height, pixels).ok_or_else(wrong)?;
        let bits = Grid::from_cells(width, height, bits).ok_or_else(wrong)?;
        Ok(SetFrame {
            frame: Frame::new(index, pixels, bits).ok_or_else(wrong)?,
            sheet: Grid::from_cells(width, height, codes).ok_or_else(wrong)?,
            run: self.runs.get(index).copied().unwrap_or(0),
            split: self.splits.get(index).copied().ok_or_else(wrong)?,
            metadata: self.metadata.get(index).cloned().unwrap_or_default(),
        })
    }

    /// Reads everything and compares with the digest in the file; false when something differs.
    pub fn is_unchanged(&self) -> Result<bool, Error> {
        let mut sum = Sum::new(self.width(), self.height());
        for index in 0..self.len() {
            let item = self.read(index)?;
            let good: Vec<u8> = item
                .frame
                .bad
                .cells()
                .iter()
                .map(|bits| u8::from(bits & bad::NOT_VALID == 0))
                .collect();
            sum.add(
                item.frame.pixels.cells(),
                item.sheet.cells(),
                &good,
                item.run,
                item.split,
            );
        }
        Ok(sum.finish() == self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_by_run_or_by_blocks() {
        let (splits, notice) = split_by_run(&[4, 4, 7, 9, 9, 7]);
        assert_eq!(notice, None);
        use Split::{HeldOut as H, Train as T, Validation as V};
        assert_eq!(splits, [T, T, V, H, H, V]);
        let (splits, notice) = split_by_run(&[1; 10]);
        assert!(notice.unwrap().contains("only one"));
        assert_eq!(splits, [T, T, T, T, T, T, T, V, H, H]);
        assert_eq!(split_by_run(&[3]).0, [T]);
    }
}
