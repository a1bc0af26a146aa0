//! Several frames as one picture: what they have at most, or on average; what a run adds up to (its powder).

use super::frame::{Frame, bad};
use super::grid::Grid;

/// How frames become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Combine {
    /// The brightest value of each pixel: single spots survive any number of frames.
    #[default]
    Maximum,
    Mean,
}

impl Combine {
    pub const ALL: [Self; 2] = [Self::Maximum, Self::Mean];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Maximum => "maximum",
            Self::Mean => "mean",
        }
    }
}

/// Frames added one by one; its memory (10 bytes a pixel) does not depend on how many.
#[derive(Clone, Debug)]
pub struct Stack {
    combine: Combine,
    values: Grid<f32>,
    /// In how many frames each pixel was valid.
    counts: Grid<u32>,
    /// The bits that each pixel has had in every frame.
    bits: Grid<u16>,
    frames: usize,
}

impl Stack {
    pub fn new(combine: Combine, width: usize, height: usize) -> Self {
        Self {
            combine,
            values: Grid::filled(width, height, 0.0),
            counts: Grid::filled(width, height, 0),
            bits: Grid::filled(width, height, u16::MAX),
            frames: 0,
        }
    }

    /// How many frames are in it.
    pub const fn frames(&self) -> usize {
        self.frames
    }

    /// Adds a frame; one of another shape is left out, and `false` says so.
    pub fn add(&mut self, frame: &Frame) -> bool {
        if frame.pixels.rect() != self.values.rect() {
            return false;
        }
        self.frames += 1;
        let new = frame.pixels.cells().iter().zip(frame.bad.cells());
        let kept = self.values.cells_mut().iter_mut();
        let kept = kept.zip(self.counts.cells_mut()).zip(self.bits.cells_mut());
        for (((value, count), kept_bits), (new, new_bits)) in kept.zip(new) {
            *kept_bits &= new_bits;
            if new_bits & bad::NOT_VALID != 0 {
                continue;
            }
            *count += 1;
            *value = match self.combine {
                _ if *count == 1 => *new,
                Combine::Maximum => value.max(*new),
                Combine::Mean => *value + (new - *value) / *count as f32,
            };
        }
        true
    }

    /// The picture, numbered as asked. A pixel that was valid in no frame is bad.
    pub fn finish(self, number: usize) -> Option<Frame> {
        let mut bits = self.bits;
        for (bits, count) in bits.cells_mut().iter_mut().zip(self.counts.cells()) {
            if *count > 0 {
                *bits &= !bad::NOT_VALID;
            } else if *bits & bad::NOT_VALID == 0 || self.frames == 0 {
                *bits = bad::INVALID;
            }
        }
        Frame::new(number, self.values, bits)
    }
}

/// Mean and maximum of the valid pixels; `None` where none is.
pub fn mean_and_maximum(frame: &Frame) -> Option<(f32, f32)> {
    const LANES: usize = 16;
    let (mut sum, mut count, mut highest) = (0.0_f64, 0_u64, f32::NEG_INFINITY);
    // Sums of short stretches in f32 are exact enough and go many pixels at a time.
    let stretches = frame.pixels.cells().chunks(4096);
    for (pixels, bits) in stretches.zip(frame.bad.cells().chunks(4096)) {
        let mut sums = [0.0_f32; LANES];
        let mut counts = [0_u32; LANES];
        let mut most = [f32::NEG_INFINITY; LANES];
        for (pixels, bits) in pixels.chunks(LANES).zip(bits.chunks(LANES)) {
            for (lane, (value, bits)) in pixels.iter().zip(bits).enumerate() {
                let is_valid = bits & bad::NOT_VALID == 0;
                sums[lane] += if is_valid { *value } else { 0.0 };
                counts[lane] += u32::from(is_valid);
                most[lane] = most[lane].max(if is_valid { *value } else { f32::NEG_INFINITY });
            }
        }
        sum += sums.iter().map(|sum| f64::from(*sum)).sum::<f64>();
        count += u64::from(counts.iter().sum::<u32>());
        highest = most.into_iter().fold(highest, f32::max);
    }
    (count > 0).then(|| ((sum / count as f64) as f32, highest))
}

/// A small picture of a frame: the brightest pixel of each block, as brightness 0 to 255 between its median and
/// its 99.9th percentile. Its longer side has `side` cells at most.
pub fn thumbnail(frame: &Frame, side: usize) -> Grid<u8> {
    let longer = frame.width().max(frame.height()).max(1);
    let block = longer.div_ceil(side.max(1)).max(1);
    let (width, height) = (
        frame.width().div_ceil(block),
        frame.height().div_ceil(block),
    );
    let mut most = Grid::filled(width, height, f32::NEG_INFINITY);
    for y in 0..frame.height() {
        let (pixels, bits) = (frame.pixels.row(y), frame.bad.row(y));
        let row = most.row_mut(y / block);
        for (cell, (pixels, bits)) in row
            .iter_mut()
            .zip(pixels.chunks(block).zip(bits.chunks(block)))
        {
            for (value, bits) in pixels.iter().zip(bits) {
                if bits & bad::NOT_VALID == 0 {
                    *cell = cell.max(*value);
                }
            }
        }
    }
    let statistics = frame.statistics();
    let low = statistics.median;
    let high = (statistics.p999 + 2.0 * statistics.sigma).max(low + 1.0);
    most.map(|value| (((value - low) / (high - low)).clamp(0.0, 1.0) * 255.0) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(values: [f32; 4], bits: [u16; 4]) -> Frame {
        let pixels = Grid::from_cells(2, 2, values.to_vec()).unwrap();
        Frame::new(0, pixels, Grid::from_cells(2, 2, bits.to_vec()).unwrap()).unwrap()
    }

    #[test]
    fn each_pixel_is_combined_over_the_frames_in_which_it_is_valid() {
        let frames = [
            frame([1.0, -5.0, 7.0, 9.0], [0, 0, bad::HOT, bad::DEAD]),
            frame(
                [4.0, -9.0, 3.0, 9.0],
                [bad::SATURATED, 0, 0, bad::DEAD | bad::HOT],
            ),
        ];
        let cases = [
            (Combine::Maximum, [4.0, -5.0, 3.0]),
            (Combine::Mean, [2.5, -7.0, 3.0]),
        ];
        for (combine, expected) in cases {
            let mut stack = Stack::new(combine, 2, 2);
            assert!(frames.iter().all(|frame| stack.add(frame)));
            let other = Frame::new(0, Grid::filled(3, 2, 0.0), Grid::filled(3, 2, 0)).unwrap();
            assert!(!stack.add(&other) && stack.frames() == 2);
            let stacked = stack.finish(5).unwrap();
            assert_eq!(stacked.pixels.cells()[..3], expected);
            assert_eq!(stacked.bad.cells(), [0, 0, 0, bad::DEAD]);
        }
        let empty = Stack::new(Combine::Mean, 2, 2).finish(0).unwrap();
        assert!(!empty.is_valid(0, 0));
    }

    #[test]
    fn mean_and_maximum_are_those_of_the_valid_pixels() {
        let pixels = Grid::from_fn(211, 103, |x, y| ((x * 31 + y * 17) % 97) as f32 - 20.0);
        let bits = Grid::from_fn(211, 103, |x, y| if (x + y) % 7 == 0 { bad::HOT } else { 0 });
        let frame = Frame::new(0, pixels, bits).unwrap();
        let cells = frame.pixels.cells().iter().zip(frame.bad.cells());
        let valid: Vec<f64> = cells
            .filter(|(_, bits)| **bits == 0)
            .map(|(value, _)| f64::from(*value))
            .collect();
        let (mean, maximum) = mean_and_maximum(&frame).unwrap();
        assert!((f64::from(mean) - valid.iter().sum::<f64>() / valid.len() as f64).abs() < 1e-4);
        assert_eq!(
            f64::from(maximum),
            valid.iter().copied().fold(f64::MIN, f64::max)
        );
        assert_eq!(
            mean_and_maximum(&self::frame([1.0; 4], [bad::DEAD; 4])),
            None
        );
    }

    #[test]
    fn a_one_pixel_peak_survives_in_the_thumbnail() {
        let mut pixels = Grid::filled(300, 200, 1.0);
        *pixels.get_mut(299, 199).unwrap() = 50.0;
        let frame = Frame::new(0, pixels, Grid::filled(300, 200, 0)).unwrap();
        let small = thumbnail(&frame, 64);
        assert_eq!((small.width(), small.height()), (60, 40));
        assert_eq!(small.get(59, 39), Some(&255));
        assert_eq!(small.cells().iter().filter(|value| **value > 0).count(), 1);
    }
}
