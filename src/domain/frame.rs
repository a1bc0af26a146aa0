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

    /// Robust statistics of the valid pixels (sampled on large frames).
    pub fn statistics(&self) -> Statistics {
        let step = (self.pixels.len() / 400_000).max(1) | 1;
        let mut sample: Vec<f32> = self
            .pixels
            .cells()
            .iter()
            .zip(self.bad.cells())
            .step_by(step)
            .filter(|(_, bits)| *bits & bad::NOT_VALID == 0)
            .map(|(value, _)| *value)
            .collect();
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
    /// One sentence each: what the user should know about this run.
    pub notices: Vec<String>,
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
