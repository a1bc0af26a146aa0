//! Detectors whose modules write files of their own: frames are put together by train and pulse.
//!
//! European XFEL, one module a file, several files one after another (European-XFEL/EXtra-data, docs/data_files.rst).

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::super::Error;
use super::stack::StackPart;
use crate::domain::frame::bad;

/// What the file of one module says about its frames.
#[derive(Clone, Debug)]
pub(super) struct ModuleFile {
    pub detector: String,
    /// From 0.
    pub index: usize,
    /// Train and pulse (or cell) of each frame.
    pub ids: Vec<(u64, u64)>,
}

/// Of each module the file and the frame's place there; `None` where it is missing.
type Places = Vec<Option<(usize, usize)>>;

/// Frames whose modules lie in several files, stacked along the slow axis.
#[derive(Debug)]
pub(super) struct ModulesPart {
    pub files: Vec<StackPart>,
    /// Of each frame.
    frames: Vec<Places>,
    /// Train and pulse of each frame.
    ids: Vec<(u64, u64)>,
    /// Cells of one module.
    cells: usize,
}

impl ModulesPart {
    /// Puts the frames of all files together, in the order of their trains and pulses; also what the user should know.
    pub fn new(files: Vec<(StackPart, ModuleFile)>, cells: usize) -> (Self, Vec<String>) {
        let highest = files.iter().map(|(_, module)| module.index).max();
        let highest = highest.unwrap_or(0);
        let name = files
            .first()
            .map_or(String::new(), |(_, module)| module.detector.clone());
        let count = modules_of(&name).max(highest + 1);
        let mut by_id: BTreeMap<(u64, u64), Places> = BTreeMap::new();
        for (file, (_, module)) in files.iter().enumerate() {
            for (local, id) in module.ids.iter().enumerate() {
                let frame = by_id.entry(*id).or_insert_with(|| vec![None; count]);
                if let Some(place) = frame.get_mut(module.index) {
                    *place = Some((file, local));
                }
            }
        }
        let mut notices = Vec::new();
        let is_there = |wanted: &usize| files.iter().any(|(_, module)| module.index == *wanted);
        let missing: Vec<String> = (0..count)
            .filter(|index| !is_there(index))
            .map(|index| index.to_string())
            .collect();
        if !missing.is_empty() {
            notices.push(format!(
                "of the {count} modules of {name} the files of {} are missing; their pixels are marked so",
                missing.join(", ")
            ));
        }
        let (ids, frames): (Vec<_>, Vec<_>) = by_id.into_iter().unzip();
        let is_cut = |frame: &&Places| frame.iter().flatten().count() + missing.len() < count;
        let cut = frames.iter().filter(is_cut).count();
        if cut > 0 {
            notices.push(format!(
                "{cut} of {} frames lack modules that others have; these are marked missing",
                frames.len()
            ));
        }
        let part = Self {
            files: files.into_iter().map(|(part, _)| part).collect(),
            frames,
            ids,
            cells,
        };
        (part, notices)
    }

    /// Train and pulse of a frame.
    pub fn id(&self, local: usize) -> Option<(u64, u64)> {
        self.ids.get(local).copied()
    }

    pub const fn frames(&self) -> usize {
        self.frames.len()
    }

    pub fn modules(&self) -> usize {
        self.frames.first().map_or(0, Vec::len)
    }

    /// The modules that a frame lacks.
    pub fn missing(&self, local: usize) -> Vec<usize> {
        let modules = self.frames.get(local).map(Vec::as_slice).unwrap_or(&[]);
        let missing = modules.iter().enumerate().filter(|(_, at)| at.is_none());
        missing.map(|(module, _)| module).collect()
    }

    /// The file of a frame's first module, and the frame's place there.
    pub fn first(&self, local: usize) -> Option<(&StackPart, usize)> {
        let (file, local) = self.frames.get(local)?.iter().flatten().next().copied()?;
        Some((self.files.get(file)?, local))
    }

    pub fn read(&self, local: usize) -> Result<(Vec<f32>, Vec<u16>), Error> {
        let modules = self.frames.get(local).map(Vec::as_slice).unwrap_or(&[]);
        let size = self.cells * modules.len();
        let mut pixels = vec![0.0; size];
        let mut bits = vec![bad::MISSING; size];
        pixels
            .par_chunks_mut(self.cells)
            .zip(bits.par_chunks_mut(self.cells))
            .zip(modules)
            .try_for_each(|((pixels, bits), place)| {
                let part = place.and_then(|(file, at)| Some((self.files.get(file)?, at)));
                if let Some((part, at)) = part {
                    let (own_pixels, own_bits) = part.read(at, self.cells)?;
                    pixels.copy_from_slice(&own_pixels);
                    bits.copy_from_slice(&own_bits);
                }
                Ok::<_, Error>(())
            })?;
        Ok((pixels, bits))
    }
}

/// How many modules the detectors of the facility have, by their names; 0 for others.
fn modules_of(detector: &str) -> usize {
    let has = |word: &str| detector.contains(word);
    let is_large = ["AGIPD", "LPD", "DSSC"].into_iter().any(has);
    match () {
        () if is_large && has("1M") => 16,
        () if has("AGIPD500K") => 8,
        () if (has("JF4M") || has("JNGFR4M")) => 8,
        () => 0,
    }
}
