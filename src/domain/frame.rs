//! A detector frame, what a run says about itself, and robust statistics over valid pixels.

use std::ops::Range;

use super::geometry::Geometry;
use super::grid::Grid;

/// Bits of the CXI pixel mask, 0 = perfect (CXI file format 1.5, section on masks).
pub mod bad {
    pub const INVALID: u16 = 0x1;
    pub const SATURATED: u16 = 0x2;
    pub const HOT: u16 = 0x4;
    pub const DEAD: u16 = 0x8;
    pub const SHADOWED: u16 = 0x10;
    pub const UNTRUSTED: u16 = 0x80;
    pub const MISSING: u16 = 0x200;
    pub const NOISY: u16 = 0x400;
    pub const SIGNAL: u16 = 0x1000;
    /// Ours: the class artifact, written to CXI masks (Cheetah's "in jet").
    pub const ARTIFACT: u16 = 0x8000;
    /// A pixel with one of these is not valid: all but saturated, signal and our artifact bit.
    pub const NOT_VALID: u16 = !(SATURATED | SIGNAL | ARTIFACT);
}

/// Which values of a mask in a file of its own mean a bad pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaskPolarity {
    /// Of a mask with two values the rarer one; of one with bits, any bit.
    #[default]
    Detected,
    Zero,
    NonZero,
}

/// One detector image: counts, and why a pixel is not to be trusted.
///
/// `pixels` are the source's own units (counts, ADU, photons) as f32; both grids have one shape.
/// Pixels that are not finite always carry a bad bit.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Position in the run, from 0.
    pub number: usize,
    pub pixels: Grid<f32>,
    /// CXI mask bits per pixel, 0 = perfect; see [`bad`].
    pub bad: Grid<u16>,
}

impl Frame {
    /// A frame whose non-finite pixels are marked invalid; `None` when the shapes differ.
    pub fn new(number: usize, pixels: Grid<f32>, mut bad: Grid<u16>) -> Option<Self> {
        if pixels.width() != bad.width() || pixels.height() != bad.height() {
            return None;
        }
        for (value, bits) in pixels.cells().iter().zip(bad.cells_mut()) {
            if !value.is_finite() {
                *bits |= self::bad::INVALID;
            }
        }
        Some(Self {
            number,
            pixels,
            bad,
        })
    }

    /// A frame whose reader has marked the pixels that are not finite already; `None` when the shapes differ.
    pub fn from_reader(number: usize, pixels: Grid<f32>, bad: Grid<u16>) -> Option<Self> {
        let is_one_shape = pixels.width() == bad.width() && pixels.height() == bad.height();
        is_one_shape.then_some(Self {
            number,
            pixels,
            bad,
        })
    }

    pub const fn width(&self) -> usize {
        self.pixels.width()
    }

    pub const fn height(&self) -> usize {
        self.pixels.height()
    }

    /// Whether the detector vouches for the pixel; false outside the frame.
    pub fn is_valid(&self, x: usize, y: usize) -> bool {
        self.bad
            .get(x, y)
            .is_some_and(|bits| bits & bad::NOT_VALID == 0)
    }

    /// Bytes of memory that the frame holds, for caches that are bounded in bytes.
    pub const fn bytes(&self) -> usize {
        self.pixels.len() * 6
    }

    /// Whether the pixels look like a detector's own readings, not counts: a high pedestal that jumps from pixel to pixel by far
    /// more than photons would, and gain codes in the two highest of 16 bits (JUNGFRAU and its kin: 00, 01 and 11, never
    /// 10). For frames of 16-bit unsigned integers only; others cannot tell.
    pub fn looks_uncalibrated(&self) -> bool {
        let width = self.width().max(2);
        let step = (self.pixels.len() / 100_000).max(1) | 1;
        let mut codes = [0_u32; 4];
        let (mut low, mut jumps) = (Vec::new(), Vec::new());
        for at in (1..self.pixels.len()).step_by(step) {
            let (Some(value), Some(before)) = (
                self.pixels.cells().get(at).copied(),
                self.pixels.cells().get(at - 1).copied(),
            ) else {
                continue;
            };
            if at % width == 0 || !(0.0..=65_535.0).contains(&value) || value == 0.0 {
                continue;
            }
            let code = (value as u16) >> 14;
            codes[usize::from(code)] += 1;
            if code == 0 && before > 0.0 && before < 16_384.0 {
                low.push(value);
                jumps.push((value.trunc() - before.trunc()).abs());
            }
        }
        let median = |values: &mut Vec<f32>| {
            let middle = values.len() / 2;
            if values.is_empty() {
                0.0
            } else {
                *values.select_nth_unstable_by(middle, f32::total_cmp).1
            }
        };
        let (pedestal, jump) = (median(&mut low), median(&mut jumps));
        codes[2] == 0
            && codes[1] + codes[3] > 0
            && pedestal > 1000.0
            && jump > 4.0 * pedestal.sqrt()
    }

    /// Why the frame holds nothing: no pixel valid, or all of one value; `None` where it is a frame like others.
    pub fn emptiness(&self) -> Option<&'static str> {
        let mut valid = (self.pixels.cells().iter().zip(self.bad.cells()))
            .filter(|(_, bits)| *bits & bad::NOT_VALID == 0)
            .map(|(value, _)| *value);
        let Some(first) = valid.next() else {
            let is_hole = self.bad.cells().iter().all(|bits| bits & bad::MISSING != 0);
            return Some(if is_hole {
                "it was never written: the file has no data here"
            } else {
                "no pixel is valid; the detector's mask or fill value covers all of it"
            });
        };
        let is_constant = self.pixels.len() > 1 && valid.all(|value| value == first);
        is_constant.then_some("all valid pixels have one value: the detector wrote nothing here")
    }

    /// Robust statistics of the valid pixels (sampled on large frames).
    pub fn statistics(&self) -> Statistics {
        /// Neighbours come with one look at memory; a run of them every so often is as good as single pixels.
        const RUN: usize = 16;
        let step = (self.pixels.len() / 400_000).max(1) | 1;
        let (pixels, bits) = (self.pixels.cells(), self.bad.cells());
        let mut sample = Vec::with_capacity(pixels.len() / step + RUN);
        for (pixels, bits) in pixels.chunks(RUN).zip(bits.chunks(RUN)).step_by(step) {
            let cells = pixels.iter().zip(bits);
            let valid = cells.filter(|(_, bits)| *bits & bad::NOT_VALID == 0);
            sample.extend(valid.map(|(value, _)| *value));
        }
        Statistics::of(&mut sample)
    }
}

/// Order statistics of a frame's valid pixels, in the frame's own units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    pub minimum: f32,
    pub maximum: f32,
    pub median: f32,
    /// 1.4826 times the median absolute deviation: sigma for Gaussian noise.
    pub sigma: f32,
    /// The 1st, 99th and 99.9th percentile.
    pub p01: f32,
    pub p99: f32,
    pub p999: f32,
    /// How many values were looked at.
    pub count: usize,
}

impl Statistics {
    /// Statistics of a sample, which is reordered; all zero when it is empty.
    pub fn of(sample: &mut [f32]) -> Self {
        if sample.is_empty() {
            return Self::default();
        }
        sample.sort_unstable_by(f32::total_cmp);
        let at = |q: f64| sample[((sample.len() - 1) as f64 * q).round() as usize];
        let (minimum, maximum, median) = (at(0.0), at(1.0), at(0.5));
        let (p01, p99, p999) = (at(0.01), at(0.99), at(0.999));
        let count = sample.len();
        let mut deviation: Vec<f32> = sample.iter().map(|v| (v - median).abs()).collect();
        let middle = deviation.len() / 2;
        let (_, mad, _) = deviation.select_nth_unstable_by(middle, f32::total_cmp);
        Self {
            minimum,
            maximum,
            median,
            sigma: 1.4826 * *mad,
            p01,
            p99,
            p999,
            count,
        }
    }
}

/// What a run says about itself; no pixels are read to know it.
#[derive(Clone, Debug, Default)]
pub struct RunInfo {
    /// What the title shows: the file's or folder's name.
    pub name: String,
    /// The path or paths that were opened, as given.
    pub source: String,
    pub frames: usize,
    pub width: usize,
    pub height: usize,
    /// NumPy's name of the stored type: `uint16`, `float32`.
    pub dtype: String,
    /// The layout that was recognised: `NXmx`, `CXI`, `HDF5 stack`, `miniCBF`, `TIFF`.
    pub format: String,
    /// The HDF5 path of the frames, where there is one.
    pub dataset: Option<String>,
    /// Compression filters in order, by name: `bitshuffle-lz4`.
    pub filters: Vec<String>,
    pub detector: Option<String>,
    /// Where the pixels are in space, as far as the file or the options say.
    pub geometry: Geometry,
    /// One sentence each: what is wrong with this run, or missing.
    pub notices: Vec<String>,
    /// One sentence each: what was found out about it, nothing being wrong.
    pub remarks: Vec<String>,
}

impl RunInfo {
    /// All that the user should know about this run.
    pub fn said(&self) -> impl Iterator<Item = &String> {
        self.notices.iter().chain(&self.remarks)
    }
}

/// Which frames of a run belong to which file, for external links and provenance.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceRange {
    /// Frames of the run, half open.
    pub frames: Range<usize>,
    pub file: String,
    pub dataset: Option<String>,
    /// The row of the data set where `frames.start` lies.
    pub first_row: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks_uncalibrated(value: impl Fn(usize, usize) -> f32) -> bool {
        let pixels = Grid::from_fn(200, 100, value);
        let frame = Frame::new(0, pixels, Grid::filled(200, 100, 0));
        frame.is_some_and(|frame| frame.looks_uncalibrated())
    }

    #[test]
    fn pedestals_and_gain_bits_are_recognised() {
        let noise = |x: usize, y: usize, n: usize| ((x * 7919 + y * 104_729 + x * y) % n) as f32;
        let is_switched = |x: usize, y: usize| (x * 31 + y * 17) % 997 == 3;
        let raw = |x, y| {
            let gain = if is_switched(x, y) { 16_384.0 } else { 0.0 };
            gain + 2500.0 + noise(x, y, 1500)
        };
        assert!(looks_uncalibrated(raw));
        // Photons, a CCD on its pedestal with saturated pixels, and bright smooth counts are counts.
        assert!(!looks_uncalibrated(|x, y| noise(x, y, 9)));
        let ccd = |x, y| {
            if is_switched(x, y) {
                65_535.0
            } else {
                1200.0 + noise(x, y, 60)
            }
        };
        assert!(!looks_uncalibrated(ccd));
        assert!(!looks_uncalibrated(|x, y| 20_000.0 + noise(x, y, 400)));
    }
}
