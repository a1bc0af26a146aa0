//! Frames of one HDF5 file with its masks.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::super::Error;
use super::super::h5::Source;
use super::super::layouts::MaskMeaning;
use super::super::number::{self, Codes};
use crate::domain::frame::bad;
use crate::domain::grid::{Pixel, PixelRect};

/// Frames of one opened HDF5 file.
#[derive(Debug)]
pub(super) struct StackPart {
    pub sources: Vec<Arc<Source>>,
    /// All files behind virtual data sets.
    pub behind: Vec<PathBuf>,
    /// The source of each frame and its row there.
    pub rows: Vec<Option<(usize, usize)>>,
    pub masks: Vec<Mask>,
    /// The words for `%` of each frame and its row there, where frames are named so.
    pub events: Vec<(String, usize)>,
    pub codes: Codes,
    pub saturation: Option<f32>,
}

/// A mask in the file of the frames.
#[derive(Debug)]
pub(super) struct Mask {
    pub source: Source,
    meaning: MaskMeaning,
    /// The part of the frame that it holds for; all of it where the list is empty.
    only: Vec<PixelRect>,
    /// A mask that holds for all frames, read with the first of them.
    shared: OnceLock<Vec<u16>>,
}

impl StackPart {
    /// The pixels of a frame of so many cells, and why some are bad.
    pub fn read(&self, local: usize, cells: usize) -> Result<(Vec<f32>, Vec<u16>), Error> {
        let row = self.rows.get(local).copied().flatten();
        let Some((source, row)) =
            row.and_then(|(source, row)| Some((self.sources.get(source)?, row)))
        else {
            return Ok((vec![0.0; cells], vec![bad::MISSING; cells]));
        };
        let raw = source.read(row)?;
        let decoded = number::decoded(raw.number, &raw.bytes, self.codes);
        let Some((pixels, mut bits)) = decoded.filter(|(pixels, _)| pixels.len() == cells) else {
            return Err(Error::new(
                format!("frame {row} of {:?} has the wrong size", source.dataset),
                &source.file,
            ));
        };
        for mask in &self.masks {
            mask.add(local, &mut bits)?;
        }
        if let Some(holes) = raw.holes {
            for (bits, hole) in bits.iter_mut().zip(holes) {
                *bits |= u16::from(hole != 0) * bad::MISSING;
            }
        }
        if let Some(saturation) = self.saturation {
            number::mark_saturated(saturation, &pixels, &mut bits);
        }
        Ok((pixels, bits))
    }
}

impl StackPart {
    /// All files that it reads.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let masks = self.masks.iter().map(|mask| &mask.source.file);
        let sources = self.sources.iter().map(|source| &source.file);
        sources.chain(masks).chain(&self.behind)
    }

    /// Where a frame really lies: file, data set and row.
    pub fn origin(&self, local: usize) -> Option<(String, Option<String>, usize)> {
        let (source, row) = (*self.rows.get(local)?)?;
        let source = self.sources.get(source)?;
        let file = source.file.display().to_string();
        Some((file, Some(source.dataset.clone()), row))
    }
}

impl Mask {
    pub const fn new(source: Source, meaning: MaskMeaning, only: Vec<PixelRect>) -> Self {
        Self {
            source,
            meaning,
            only,
            shared: OnceLock::new(),
        }
    }

    fn add(&self, local: usize, bits: &mut [u16]) -> Result<(), Error> {
        let own;
        let mask = if self.source.rows > 1 {
            own = self.load(local)?;
            &own
        } else if let Some(shared) = self.shared.get() {
            shared
        } else {
            let first = self.load(0)?;
            self.shared.get_or_init(|| first)
        };
        for (bits, mask) in bits.iter_mut().zip(mask) {
            *bits |= mask;
        }
        Ok(())
    }

    fn load(&self, row: usize) -> Result<Vec<u16>, Error> {
        let raw = self.source.read(row)?;
        let values = number::decode_mask(raw.number, &raw.bytes).ok_or_else(|| {
            Error::new(
                format!("the mask {:?} is not readable", self.source.dataset),
                &self.source.file,
            )
        })?;
        let mut bits: Vec<u16> = values
            .into_iter()
            .map(|value| self.meaning.to_bad(value))
            .collect();
        if let (Some(holes), MaskMeaning::Valid) = (raw.holes, self.meaning) {
            // A mask that was never written says nothing.
            for (bits, hole) in bits.iter_mut().zip(holes) {
                *bits *= u16::from(hole == 0);
            }
        }
        if !self.only.is_empty() {
            let width = self.source.width;
            let is_meant = |at: usize| {
                let (x, y) = (at % width, at / width);
                self.only.iter().any(|rect| rect.contains(Pixel { x, y }))
            };
            for (at, bits) in bits.iter_mut().enumerate() {
                *bits *= u16::from(is_meant(at));
            }
        }
        Ok(bits)
    }
}
