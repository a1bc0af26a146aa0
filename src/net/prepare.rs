//! Frame to input: local robust standardisation, one function for training and prediction.
//!
//! The frame is cut into tiles; each tile's level is the median and its noise half the distance between two quantiles of
//! its valid pixels, so that a peak, a hot pixel or a bright ring decides neither. Tile maps are smoothed by a 3x3 median
//! and interpolated between tile centres; a pixel becomes asinh of its distance from the level in units of the noise.
//! The result hardly depends on gain, offset and the slope of the background, which is what lets one net see every
//! detector. Invalid pixels become 0.

use rayon::prelude::*;

use super::quick;
use crate::domain::frame::{Frame, bad};
use crate::domain::grid::Grid;

/// Name and version of this function, written to the card of every net trained with it.
pub const STANDARDISATION: &str = "local-quantile-asinh-1";

/// Edge of a tile, pixels.
const TILE: usize = 32;
/// Every so many pixels along x and y are looked at.
const STRIDE: usize = 2;
/// A tile with fewer valid samples takes its values from its neighbours.
const LEAST_SAMPLES: usize = 24;
/// Distance from the level, in sigmas, up to which the input is nearly linear.
const BEND: f32 = 4.0;

/// Level and noise of a tile; `None` where too few pixels are valid.
type Tile = Option<(f32, f32)>;

/// The input of the net for a frame: same shape, about 0 +- 0.25 where nothing is.
pub fn prepare(frame: &Frame) -> Grid<f32> {
    let (width, height) = (frame.width(), frame.height());
    let (columns, rows) = (width.div_ceil(TILE).max(1), height.div_ceil(TILE).max(1));
    let raw: Vec<Tile> = (0..rows * columns)
        .into_par_iter()
        .map(|i| tile(frame, i % columns, i / columns))
        .collect();
    let noise_floor = floor_of(&raw);
    let (levels, noises) = smooth(&raw, columns, rows, noise_floor);
    let mut out = Grid::filled(width, height, 0.0_f32);
    let places: Vec<_> = (0..width).map(|x| between(x, columns)).collect();
    out.cells_mut()
        .par_chunks_mut(width.max(1))
        .enumerate()
        .for_each_init(Vec::new, |scale, (y, out)| {
            let (upper, lower, v) = between(y, rows);
            let mix = |map: &[f32], column: usize| {
                let (a, b) = (map[upper * columns + column], map[lower * columns + column]);
                a + (b - a) * v
            };
            let row: Vec<[f32; 2]> = (0..columns)
                .map(|c| [mix(&levels, c), mix(&noises, c)])
                .collect();
            scale.clear();
            scale.extend(places.iter().map(|&(left, right, u)| {
                let (a, b) = (row[left], row[right]);
                [a[0] + (b[0] - a[0]) * u, a[1] + (b[1] - a[1]) * u]
            }));
            let pixels = frame.pixels.row(y).iter().zip(frame.bad.row(y));
            for ((out, (value, bits)), &[level, noise]) in out.iter_mut().zip(pixels).zip(&*scale) {
                let input = quick::asinh((value - level) / (noise * BEND));
                *out = if bits & bad::NOT_VALID == 0 {
                    input
                } else {
                    0.0
                };
            }
        });
    out
}

/// The two tile centres about a position and the share of the second.
fn between(at: usize, tiles: usize) -> (usize, usize, f32) {
    let place = (at as f32 + 0.5) / TILE as f32 - 0.5;
    let first = place.floor().max(0.0) as usize;
    let first = first.min(tiles - 1);
    let second = (first + 1).min(tiles - 1);
    (first, second, (place - first as f32).clamp(0.0, 1.0))
}

fn tile(frame: &Frame, column: usize, row: usize) -> Tile {
    let mut values = Vec::with_capacity((TILE / STRIDE) * (TILE / STRIDE));
    for y in (row * TILE..((row + 1) * TILE).min(frame.height())).step_by(STRIDE) {
        let (pixels, bits) = (frame.pixels.row(y), frame.bad.row(y));
        let from = column * TILE;
        // Alternate rows start one pixel on, so that columns of a defect are not all that is seen.
        let from = from + (y / STRIDE) % 2;
        for x in (from..((column + 1) * TILE).min(frame.width())).step_by(STRIDE) {
            if bits[x] & bad::NOT_VALID == 0 {
                values.push(pixels[x]);
            }
        }
    }
    if values.len() < LEAST_SAMPLES {
        return None;
    }
    let last = values.len() - 1;
    let mut quantile = |q: f32| {
        let at = (last as f32 * q).round() as usize;
        *values.select_nth_unstable_by(at, f32::total_cmp).1
    };
    let (low, middle, high) = (quantile(0.16), quantile(0.5), quantile(0.84));
    let spread = (high - low) / 2.0;
    // Few photons: most pixels are equal and the quantiles say nothing, the clipped mean and deviation do.
    let step = (high - middle).abs().max((middle - low).abs());
    if spread > 0.0 && step > 0.0 && low < middle {
        return Some((middle, spread));
    }
    let ceiling = {
        let at = (last as f32 * 0.98).round() as usize;
        *values.select_nth_unstable_by(at, f32::total_cmp).1
    };
    let kept: Vec<f64> = values
        .iter()
        .filter(|v| **v <= ceiling)
        .map(|v| f64::from(*v))
        .collect();
    let count = kept.len().max(1) as f64;
    let mean = kept.iter().sum::<f64>() / count;
    let variance = kept.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count;
    Some((mean as f32, (variance.sqrt() as f32).max(spread)))
}

/// The least noise that a tile is given: a tenth of the quiet quarter of the frame's tiles, and never 0.
fn floor_of(tiles: &[Tile]) -> f32 {
    let mut noises: Vec<f32> = tiles
        .iter()
        .flatten()
        .map(|t| t.1)
        .filter(|n| *n > 0.0)
        .collect();
    if noises.is_empty() {
        return 1.0;
    }
    noises.sort_unstable_by(f32::total_cmp);
    (noises[noises.len() / 4] * 0.1).max(f32::MIN_POSITIVE)
}

/// 3x3 medians of both maps; where no neighbour is known, the frame's own medians.
fn smooth(raw: &[Tile], columns: usize, rows: usize, floor: f32) -> (Vec<f32>, Vec<f32>) {
    let median = |values: &mut Vec<f32>| {
        values.sort_unstable_by(f32::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let mut all_levels: Vec<f32> = raw.iter().flatten().map(|t| t.0).collect();
    let mut all_noises: Vec<f32> = raw.iter().flatten().map(|t| t.1).collect();
    let fallback = (
        median(&mut all_levels).unwrap_or(0.0),
        median(&mut all_noises).unwrap_or(1.0),
    );
    let (mut levels, mut noises) = (Vec::with_capacity(raw.len()), Vec::with_capacity(raw.len()));
    for row in 0..rows {
        for column in 0..columns {
            let (mut near_levels, mut near_noises) = (Vec::new(), Vec::new());
            for reach in [1_usize, 3] {
                for y in row.saturating_sub(reach)..(row + reach + 1).min(rows) {
                    for x in column.saturating_sub(reach)..(column + reach + 1).min(columns) {
                        if let Some((level, noise)) = raw[y * columns + x] {
                            near_levels.push(level);
                            near_noises.push(noise);
                        }
                    }
                }
                if !near_levels.is_empty() {
                    break;
                }
            }
            levels.push(median(&mut near_levels).unwrap_or(fallback.0));
            noises.push(median(&mut near_noises).unwrap_or(fallback.1).max(floor));
        }
    }
    (levels, noises)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;

    fn noisy(seed: u64, gain: f32, offset: f32) -> Frame {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let pixels = Grid::from_fn(130, 90, |x, y| {
            let level = 20.0 + x as f32 * 0.2 + y as f32 * 0.1;
            (level + rng.random_range(-5.0_f32..5.0)) * gain + offset
        });
        Frame::new(0, pixels, Grid::filled(130, 90, 0)).unwrap()
    }

    #[test]
    fn gain_and_offset_do_not_matter() {
        let (a, b) = (
            prepare(&noisy(1, 1.0, 0.0)),
            prepare(&noisy(1, 37.0, -900.0)),
        );
        for (a, b) in a.cells().iter().zip(b.cells()) {
            assert!((a - b).abs() < 1e-3, "{a} and {b}");
        }
    }

    #[test]
    fn one_hot_pixel_changes_only_itself() {
        let frame = noisy(2, 1.0, 0.0);
        let mut hot = frame.clone();
        *hot.pixels.get_mut(64, 40).unwrap() = 1e9;
        let (a, b) = (prepare(&frame), prepare(&hot));
        let changed = a
            .cells()
            .iter()
            .zip(b.cells())
            .filter(|(a, b)| (*a - *b).abs() > 0.02);
        assert_eq!(changed.count(), 1);
    }

    #[test]
    fn sparse_photons_and_constant_frames_stay_finite() {
        let sparse = Grid::from_fn(64, 64, |x, y| {
            f32::from(u8::from((x * 7 + y * 13) % 101 == 0))
        });
        for pixels in [sparse, Grid::filled(64, 64, 3.0), Grid::filled(3, 2, 1.0)] {
            let bad = Grid::filled(pixels.width(), pixels.height(), 0);
            let input = prepare(&Frame::new(0, pixels, bad).unwrap());
            assert!(
                input
                    .cells()
                    .iter()
                    .all(|v| v.is_finite() && v.abs() < 50.0)
            );
        }
    }
}
