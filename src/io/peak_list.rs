//! Peak lists in CXI files, under the names that CrystFEL, Cheetah and LCLS tools read.
//!
//! Positions leave the program with the centre of the first pixel at 0.0.

use std::path::Path;

use super::Error;
use super::h5::{self, Chunks, Creation, Writer};
use crate::domain::peaks::Peak;

/// Where peak lists stand.
pub const GROUP: &str = "/entry_1/result_1";
/// Peaks a chunk; lists grow by whole chunks.
const BLOCK: usize = 256;

type Column = (&'static str, fn(&Peak) -> f32);

const COLUMNS: [Column; 8] = [
    ("peakXPosRaw", |peak| peak.x - 0.5),
    ("peakYPosRaw", |peak| peak.y - 0.5),
    ("peakTotalIntensity", |peak| peak.total),
    ("peakMaxIntensity", |peak| peak.maximum),
    ("peakMaximumValue", |peak| peak.maximum),
    ("peakSNR", |peak| peak.snr),
    ("peakNPixels", |peak| peak.pixels as f32),
    ("peakRadius", |peak| peak.radius),
];

type Flag = (&'static str, fn(&Peak) -> bool);

const FLAGS: [Flag; 2] = [
    ("peakSaturated", |peak| peak.saturated),
    ("peakNearBad", |peak| peak.near_bad),
];

/// Writes padded lists frame by frame; memory does not grow with the number of frames but for one count.
#[derive(Debug)]
pub struct PeakWriter {
    columns: Vec<Chunks>,
    flags: Vec<Chunks>,
    counts: Vec<i32>,
    longest: usize,
}

impl PeakWriter {
    /// Lists of `frames` frames; more rows may come.
    pub fn create(writer: &Writer, frames: usize) -> Result<Self, Error> {
        let creation = Creation {
            shape: vec![frames, 1],
            chunk: vec![1, BLOCK],
            grows: vec![true, true],
            gzip_level: 1,
        };
        let columns = COLUMNS
            .iter()
            .map(|(name, _)| writer.chunks::<f32>(&format!("{GROUP}/{name}"), &creation))
            .collect::<Result<_, _>>()?;
        let flags = FLAGS
            .iter()
            .map(|(name, _)| writer.chunks::<u8>(&format!("{GROUP}/{name}"), &creation))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            columns,
            flags,
            counts: vec![0; frames],
            longest: 1,
        })
    }

    /// The peaks of one frame; rows may come in any order, those that never come have no peaks.
    pub fn write(&mut self, row: usize, peaks: &[Peak]) -> Result<(), Error> {
        if row >= self.counts.len() {
            self.counts.resize(row + 1, 0);
        }
        self.longest = self.longest.max(peaks.len());
        let shape = [self.counts.len(), self.longest];
        if let Some(count) = self.counts.get_mut(row) {
            *count = i32::try_from(peaks.len()).unwrap_or(i32::MAX);
        }
        for ((_, value), column) in COLUMNS.iter().zip(&mut self.columns) {
            column.grow(&shape)?;
            for (block, peaks) in peaks.chunks(BLOCK).enumerate() {
                let mut cells = [0.0f32; BLOCK];
                for (cell, peak) in cells.iter_mut().zip(peaks) {
                    *cell = value(peak);
                }
                column.write(&[row, block * BLOCK], &cells)?;
            }
        }
        for ((_, flag), column) in FLAGS.iter().zip(&mut self.flags) {
            column.grow(&shape)?;
            for (block, peaks) in peaks.chunks(BLOCK).enumerate() {
                let mut cells = [0_u8; BLOCK];
                for (cell, peak) in cells.iter_mut().zip(peaks) {
                    *cell = u8::from(flag(peak));
                }
                column.write(&[row, block * BLOCK], &cells)?;
            }
        }
        Ok(())
    }

    /// Writes the counts; the lists are complete then.
    pub fn finish(mut self, writer: &Writer) -> Result<(), Error> {
        let shape = [self.counts.len(), self.longest];
        for column in self.columns.iter_mut().chain(&mut self.flags) {
            column.grow(&shape)?;
        }
        writer.array(
            &format!("{GROUP}/nPeaks"),
            &[self.counts.len()],
            &self.counts,
        )
    }
}

/// Where the peaks of one row of a CXI peak list are (x, y), from the outer corner of the first pixel; `None` past its last row.
///
/// Errors: no peak list in the file; not numbers.
pub fn read_row(path: &Path, row: usize) -> Result<Option<Vec<(f32, f32)>>, Error> {
    let read = |name: &str| h5::read_row(path, &format!("{GROUP}/{name}"), row);
    let Some(count) = read("nPeaks")?.first().copied() else {
        return Ok(None);
    };
    let (x, y) = (read("peakXPosRaw")?, read("peakYPosRaw")?);
    // -1 stands for a frame that was not looked at (psocake).
    let peaks = x.into_iter().zip(y).take(count.max(0.0) as usize);
    let peaks = peaks.map(|(x, y)| (x as f32 + 0.5, y as f32 + 0.5));
    Ok(Some(peaks.collect()))
}

/// Reads a peak list, one list a frame.
///
/// Errors: no peak list in the file; its data sets do not fit together.
pub fn read_peaks(path: &Path) -> Result<Vec<Vec<Peak>>, Error> {
    let missing = |_| {
        Error::new(
            "no peak list in /entry_1/result_1 (nPeaks, peakXPosRaw, peakYPosRaw); give a CXI file with one",
            path,
        )
    };
    if !path.exists() {
        return Err(Error::new("no such file or folder; check the name", path));
    }
    let facts = h5::walk(path)?;
    let group = if facts.sets.contains_key("/entry_1/result_1/nPeaks") {
        GROUP.to_owned()
    } else {
        let found = facts
            .sets
            .keys()
            .find_map(|name| name.strip_suffix("/nPeaks"));
        found.ok_or(()).map_err(missing)?.to_owned()
    };
    let read = |name: &str| h5::read_all(path, &format!("{group}/{name}"));
    let (_, counts) = read("nPeaks")?;
    let (shape, x) = read("peakXPosRaw").map_err(|_| missing(()))?;
    let (_, y) = read("peakYPosRaw").map_err(|_| missing(()))?;
    let optional = |names: &[&str]| {
        names
            .iter()
            .find(|name| facts.sets.contains_key(&format!("{group}/{name}")))
            .and_then(|name| read(name).ok())
            .map(|(_, values)| values)
            .unwrap_or_default()
    };
    let total = optional(&["peakTotalIntensity"]);
    let maximum = optional(&["peakMaximumValue", "peakMaxIntensity"]);
    let snr = optional(&["peakSNR"]);
    let pixels = optional(&["peakNPixels"]);
    let radius = optional(&["peakRadius"]);
    let saturated = optional(&["peakSaturated"]);
    let near_bad = optional(&["peakNearBad"]);
    let width = shape.get(1).copied().unwrap_or(0);
    if shape.first() != Some(&counts.len()) || x.len() != y.len() {
        return Err(Error::new(
            "nPeaks and peakXPosRaw of the peak list have different lengths; write it again",
            path,
        ));
    }
    Ok(counts
        .iter()
        .enumerate()
        .map(|(row, count)| {
            // -1 stands for a frame that was not looked at (psocake).
            let count = (count.max(0.0) as usize).min(width);
            (row * width..row * width + count)
                .map(|at| {
                    let value = |values: &[f64]| values.get(at).copied().unwrap_or(0.0) as f32;
                    Peak {
                        x: value(&x) + 0.5,
                        y: value(&y) + 0.5,
                        total: value(&total),
                        maximum: value(&maximum),
                        snr: value(&snr),
                        pixels: value(&pixels) as u32,
                        radius: value(&radius),
                        saturated: value(&saturated) != 0.0,
                        near_bad: value(&near_bad) != 0.0,
                    }
                })
                .collect()
        })
        .collect())
}
