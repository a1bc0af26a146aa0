//! Pixels that a run's own frames speak against: dead, hot and noisy ones, from their values over many frames.
//!
//! A pixel is compared with the pixels around it, never with a number of its own: what lights up its neighbours too (rings, the
//! edge of a shadow, Bragg peaks) is no defect.

use super::frame::{Frame, bad};
use super::grid::Grid;

/// As many frames as fit into this much memory are looked at, but never fewer than can tell anything.
const MOST_BYTES: usize = 3 << 29;
/// Fewer frames cannot tell a hot pixel from a Bragg peak.
pub const LEAST_FRAMES: usize = 5;
const MOST_FRAMES: usize = 64;
/// With fewer frames reflections that stay are not told from defects.
pub const ENOUGH_FRAMES: usize = 20;

/// How many frames of this size are looked at.
pub fn frames_wanted(width: usize, height: usize) -> usize {
    (MOST_BYTES / (width * height * 6).max(1)).clamp(LEAST_FRAMES, MOST_FRAMES)
}

/// How many pixels are suspected of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suspects {
    pub dead: usize,
    pub hot: usize,
    pub noisy: usize,
}

/// Suspected pixels of frames of one run, as CXI bits; frames of another size than the first are passed by.
///
/// For every pixel the median and the spread (1.4826 times the median absolute deviation) over the frames are taken, and of
/// the valid pixels in the 7 x 7 around it the median of both, with the spread of the medians. *Hot*: the pixel's median is
/// more than ten of its neighbours' spreads above theirs. *Dead*: it has one value in all frames and lies five spreads below
/// them, or would have one value by chance in less than one of ten million pixels. *Noisy*: its spread is five times theirs. Neither hot nor noisy is what has a
/// bright or restless pixel right beside it, as reflections have.
/// A suspect with more than two suspects beside it is a structure, not a defect; whole rows and columns stay.
/// Pixels that are not valid in most frames are left out. `None` with fewer than [`LEAST_FRAMES`] frames.
pub fn suspects(frames: &[Frame]) -> Option<(Grid<u16>, Suspects)> {
    let first = frames.first()?;
    let (width, height) = (first.width(), first.height());
    let frames: Vec<&Frame> = frames
        .iter()
        .filter(|frame| (frame.width(), frame.height()) == (width, height))
        .collect();
    if frames.len() < LEAST_FRAMES {
        return None;
    }
    let over_time = Grid::from_fn(width, height, |x, y| OverTime::of(&frames, x, y));
    let mut bits = Grid::filled(width, height, 0u16);
    let (mut near, mut beside) = (Vec::with_capacity(48), Vec::with_capacity(8));
    for y in 0..height {
        for x in 0..width {
            let Some(own) = over_time.get(x, y).copied().flatten() else {
                continue;
            };
            near.clear();
            beside.clear();
            for v in y.saturating_sub(3)..(y + 4).min(height) {
                for u in x.saturating_sub(3)..(x + 4).min(width) {
                    let other = over_time.get(u, v).copied().flatten();
                    if (u, v) != (x, y) {
                        near.extend(other);
                        if u.abs_diff(x) < 2 && v.abs_diff(y) < 2 {
                            beside.extend(other);
                        }
                    }
                }
            }
            if let Some(bit) = judge(own, &near, &beside)
                && let Some(cell) = bits.get_mut(x, y)
            {
                *cell = bit;
            }
        }
    }
    let kept = without_structures(&bits);
    let count = |bit: u16| kept.cells().iter().filter(|bits| **bits == bit).count();
    let found = Suspects {
        dead: count(bad::DEAD),
        hot: count(bad::HOT),
        noisy: count(bad::NOISY),
    };
    Some((kept, found))
}

/// What a pixel does over the frames.
#[derive(Clone, Copy)]
struct OverTime {
    median: f32,
    spread: f32,
    /// In how many frames it is valid; negative where it has one value in all of them.
    frames: i16,
}

impl OverTime {
    /// `None` where the pixel is not valid in most of the frames.
    fn of(frames: &[&Frame], x: usize, y: usize) -> Option<Self> {
        let mut values: Vec<f32> = frames
            .iter()
            .filter(|frame| frame.is_valid(x, y))
            .filter_map(|frame| frame.pixels.get(x, y).copied())
            .collect();
        if values.len() * 2 <= frames.len() || values.len() < LEAST_FRAMES {
            return None;
        }
        let is_constant = values.windows(2).all(|pair| pair[0] == pair[1]);
        let count = i16::try_from(values.len()).unwrap_or(i16::MAX);
        let middle = median(&mut values);
        for value in &mut values {
            *value = (*value - middle).abs();
        }
        Some(Self {
            median: middle,
            spread: 1.4826 * median(&mut values),
            frames: if is_constant { -count } else { count },
        })
    }
}

fn median(values: &mut [f32]) -> f32 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// What a pixel is suspected of, among its neighbours; `beside` are the eight next to it.
fn judge(own: OverTime, near: &[OverTime], beside: &[OverTime]) -> Option<u16> {
    if near.len() < 12 {
        return None; // too few neighbours to say anything
    }
    let mut medians: Vec<f32> = near.iter().map(|pixel| pixel.median).collect();
    let mut spreads: Vec<f32> = near.iter().map(|pixel| pixel.spread).collect();
    let typical = median(&mut medians);
    let typical_spread = median(&mut spreads);
    for value in &mut medians {
        *value = (*value - typical).abs();
    }
    // Steps between the neighbours count, and so does what they do over time; counts have at least their Poisson noise.
    let scale = (1.4826 * median(&mut medians))
        .max(typical_spread)
        .max(typical.max(0.0).sqrt().max(0.5));
    // A spot lights up the pixels beside its brightest one by some share of it; a defect does not.
    const SHARE: f32 = 0.08;
    let level = (SHARE * (own.median - typical)).max(4.0 * scale);
    let unrest = (SHARE * own.spread).max(3.0 * typical_spread.max(0.5));
    let is_spot = beside
        .iter()
        .any(|other| other.median - typical > level || other.spread > unrest);
    if own.median - typical > 10.0 * scale {
        return (!is_spot).then_some(bad::HOT);
    }
    if own.frames < 0 && typical_spread > 0.0 {
        // Of a normal distribution the most likely value has a share of 0.4 over its sigma.
        let chance = (2.5 * typical_spread).max(1.0).ln() * (f32::from(-own.frames) - 1.0);
        if typical - own.median > 5.0 * scale || chance > 16.0 {
            return Some(bad::DEAD);
        }
    }
    let is_noisy = typical_spread > 0.0 && own.spread > 5.0 * typical_spread.max(0.5);
    (is_noisy && !is_spot).then_some(bad::NOISY)
}

/// Suspects without those that lie together, unless they fill most of a row or a column.
fn without_structures(bits: &Grid<u16>) -> Grid<u16> {
    let (width, height) = (bits.width(), bits.height());
    let is_set = |x: usize, y: usize| bits.get(x, y).is_some_and(|bits| *bits != 0);
    let bad_rows: Vec<bool> = (0..height)
        .map(|y| (0..width).filter(|x| is_set(*x, y)).count() * 2 > width)
        .collect();
    let bad_columns: Vec<bool> = (0..width)
        .map(|x| (0..height).filter(|y| is_set(x, *y)).count() * 2 > height)
        .collect();
    Grid::from_fn(width, height, |x, y| {
        let own = bits.get(x, y).copied().unwrap_or(0);
        if own == 0 || bad_rows[y] || bad_columns[x] {
            return own;
        }
        let mut beside = 0;
        for v in y.saturating_sub(1)..(y + 2).min(height) {
            for u in x.saturating_sub(1)..(x + 2).min(width) {
                beside += usize::from((u, v) != (x, y) && is_set(u, v));
            }
        }
        if beside > 2 { 0 } else { own }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_distr::{Distribution, Poisson};

    /// Frames with a ring, a shadow and peaks that come and go, and defects that are known.
    #[test]
    fn defects_are_found_and_structures_are_not() {
        let (width, height) = (90, 70);
        let mut rng = rand_pcg::Pcg64::seed_from_u64(3);
        let defects = [
            (20, 30, bad::DEAD),
            (60, 12, bad::HOT),
            (41, 55, bad::NOISY),
            (75, 33, bad::DEAD),
            (10, 64, bad::HOT),
        ];
        let background = |x: usize, y: usize| {
            let radius = (x as f64 - 45.0).hypot(y as f64 - 35.0);
            let ring = 300.0 * (-((radius - 25.0) / 1.2_f64).powi(2)).exp();
            let shadow = if x < 12 && y < 40 { 0.1 } else { 1.0 };
            (40.0 + ring) * shadow
        };
        let frames: Vec<Frame> = (0..20)
            .map(|number| {
                let peaks: Vec<(usize, usize)> = (0..12)
                    .map(|_| (rng.random_range(0..width), rng.random_range(0..height)))
                    .collect();
                let pixels = Grid::from_fn(width, height, |x, y| {
                    let near = |(u, v): &(usize, usize)| x.abs_diff(*u) < 2 && y.abs_diff(*v) < 2;
                    let peak = if peaks.iter().any(near) { 500.0 } else { 0.0 };
                    let counts = Poisson::new(background(x, y) + peak)
                        .unwrap()
                        .sample(&mut rng) as f32;
                    match defects.iter().find(|(u, v, _)| (*u, *v) == (x, y)) {
                        Some((_, _, bad::DEAD)) => 0.0,
                        Some((_, _, bad::HOT)) => 4000.0 + counts,
                        Some(_) => counts + 90.0 * ((number % 4) as f32 - 1.5),
                        None => counts,
                    }
                });
                Frame::new(number, pixels, Grid::filled(width, height, 0)).unwrap()
            })
            .collect();
        let (bits, found) = suspects(&frames).unwrap();
        assert_eq!(
            found,
            Suspects {
                dead: 2,
                hot: 2,
                noisy: 1
            }
        );
        for (x, y, bit) in defects {
            assert_eq!(bits.get(x, y), Some(&bit), "{x} {y}");
        }
        assert!(suspects(&frames[..4]).is_none());
    }
}
