//! Circles about the beam: where peaks crowd on one, or a good part of one is artifact, peaks are grains of a ring.
//!
//! The reflections of a crystal lie at all distances from the beam; of the grains of a powder or of metal many lie at one. So a
//! circle with far more peaks than its neighbours is a ring, and so is one of which a fifth is marked as artifact and clearly less of
//! what lies around it, whether or not a single grain looks like a peak.

use std::ops::RangeInclusive;

use crate::domain::geometry::Geometry;
use crate::domain::grid::{Grid, Pixel};
use crate::domain::labels::{Class, Sheet};
use crate::domain::radial::{Axis, axis_map};

/// Pixels that a circle is wide to either side.
const HALF: usize = 1;
/// Distances to either side from which the expected number is taken, pixels.
const BESIDE: RangeInclusive<usize> = 3..=15;
/// So many peaks more than expected are a crowd, and so many standard deviations of that number.
const MORE: f32 = 5.0;
const SIGNIFICANT: f32 = 5.0;
/// A circle of fewer pixels on the detector says nothing.
const LEAST: f32 = 150.0;
/// Distance of a pixel whose distance is not known.
const NOWHERE: u16 = u16::MAX;
/// Share of a circle that is marked as artifact from which on it is a ring, if that is so many times the share of what lies
/// around it, so many pixels to either side.
const MARKED: f32 = 0.2;
const TIMES: f32 = 1.5;
const AROUND: usize = 20;

/// The circles of a run: how far every pixel is from the beam.
#[derive(Clone, Debug)]
pub struct Circles {
    /// Whole pixels; [`NOWHERE`] outside of all panels and behind the crystal.
    distance: Grid<u16>,
    /// How many pixels are so far from the beam.
    pixels: Vec<u32>,
}

impl Circles {
    /// For frames of this size; `None` where the beam is not known.
    pub fn of(geometry: &Geometry, width: usize, height: usize) -> Option<Self> {
        let map = axis_map(geometry, Axis::RadiusPx, width, height)?;
        let whole = |radius: &f32| {
            let is_sound = (0.0..f32::from(NOWHERE)).contains(&radius.round());
            if is_sound {
                radius.round() as u16
            } else {
                NOWHERE
            }
        };
        Some(Self::from_distances(map.map(whole)))
    }

    /// By the distance of every pixel from the beam.
    pub fn from_distances(distance: Grid<u16>) -> Self {
        let mut pixels = Vec::new();
        for at in distance.cells() {
            count(&mut pixels, *at);
        }
        Self { distance, pixels }
    }

    /// Which of the peaks at these pixels lie on rings. `None` where the shape of the classes is another one.
    pub fn grains(&self, classes: &Sheet, peaks: &[Pixel]) -> Option<Vec<bool>> {
        if classes.rect() != self.distance.rect() {
            return None;
        }
        let distance = |at: &Pixel| self.distance.get(at.x, at.y).copied().unwrap_or(NOWHERE);
        let distances: Vec<u16> = peaks.iter().map(distance).collect();
        let mut grains = crowded(&distances);
        let marked = self.marked(classes);
        for (is_grain, distance) in grains.iter_mut().zip(&distances) {
            *is_grain |= self.is_ring(&marked, usize::from(*distance));
        }
        Some(grains)
    }

    /// How many pixels of each circle are artifact.
    fn marked(&self, classes: &Sheet) -> Vec<u32> {
        let code = Class::Artifact.code();
        let mut marked = Vec::new();
        for y in 0..classes.height() {
            let row = classes.row(y);
            if row.contains(&code) {
                let cells = row.iter().zip(self.distance.row(y));
                let of_class = cells.filter(|(class, _)| **class == code);
                of_class.for_each(|(_, distance)| count(&mut marked, *distance));
            }
        }
        marked
    }

    fn is_ring(&self, marked: &[u32], at: usize) -> bool {
        let sum = |counts: &[u32], reach: usize| {
            let end = (at + reach + 1).min(counts.len());
            let within = counts.get(at.saturating_sub(reach)..end);
            within.unwrap_or_default().iter().sum::<u32>() as f32
        };
        let share = |reach: usize| sum(marked, reach) / sum(&self.pixels, reach).max(1.0);
        sum(&self.pixels, HALF) >= LEAST
            && share(HALF) > MARKED
            && share(HALF) > TIMES * share(AROUND)
    }
}

fn count(counts: &mut Vec<u32>, at: u16) {
    if at == NOWHERE {
        return;
    }
    let at = usize::from(at);
    if counts.len() <= at {
        counts.resize(at + 1, 0);
    }
    if let Some(count) = counts.get_mut(at) {
        *count += 1;
    }
}

/// Of peaks at these distances from the beam (whole pixels), which lie on a crowded circle.
fn crowded(distances: &[u16]) -> Vec<bool> {
    let known = distances.iter().copied().filter(|at| *at != NOWHERE);
    let most = usize::from(known.max().unwrap_or(0));
    let mut counts = Vec::new();
    distances.iter().for_each(|at| count(&mut counts, *at));
    counts.resize(most + 1, 0);
    // Peaks within a range, and how many distances of it any peak reaches.
    let within = |from: usize, to: usize| {
        let inside = counts.get(from.min(most + 1)..(to + 1).min(most + 1));
        let inside = inside.unwrap_or_default();
        (inside.iter().sum::<u32>() as f32, inside.len())
    };
    let is_crowded: Vec<bool> = (0..=most)
        .map(|at| {
            let (all, width) = within(at.saturating_sub(HALF), at + HALF);
            let inner = match at.checked_sub(*BESIDE.start()) {
                Some(to) => within(at.saturating_sub(*BESIDE.end()), to),
                None => (0.0, 0),
            };
            let outer = within(at + BESIDE.start(), at + BESIDE.end());
            let beside = (inner.0 + outer.0) / (inner.1 + outer.1).max(1) as f32;
            let expected = beside * width as f32;
            // Beside the one that is asked about.
            let more = all - 1.0 - expected;
            more > MORE && more > SIGNIFICANT * (expected + 1.0).sqrt()
        })
        .collect();
    let look_up = |distance: &u16| is_crowded.get(usize::from(*distance)).copied();
    distances
        .iter()
        .map(|distance| look_up(distance).unwrap_or(false))
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;

    /// Among peaks that are spread over a frame only those on a ring are crowded, be they few or many.
    #[test]
    fn rings_are_crowds_and_crystals_are_none() {
        for (spread, grains) in [(0, 9), (60, 12), (600, 30), (4000, 120)] {
            for seed in 0..20 {
                let mut rng = Pcg64Mcg::seed_from_u64(seed);
                let ring = rng.random_range(40..900_u16);
                let mut distances: Vec<u16> = (0..spread)
                    .map(|_| (1000.0 * rng.random::<f32>().sqrt()) as u16)
                    .collect();
                distances.extend((0..grains).map(|_| ring - 1 + rng.random_range(0..2_u16)));
                let found = crowded(&distances);
                let (alone, on_ring) = found.split_at(spread);
                assert!(on_ring.iter().all(|is| *is), "{spread} {grains} {seed}");
                let wrong = alone.iter().zip(&distances);
                let wrong = wrong.filter(|(is, at)| **is && at.abs_diff(ring) > 4);
                assert!(wrong.count() * 500 <= spread, "{spread} {grains} {seed}");
            }
        }
        assert_eq!(crowded(&[]), Vec::<bool>::new());
        assert!(
            !crowded(&[7; 6]).contains(&true),
            "five others are no crowd"
        );
        assert!(crowded(&[0; 7]).iter().all(|is| *is));
        assert!(
            !crowded(&[NOWHERE; 7]).contains(&true),
            "outside of all panels"
        );
    }

    /// A ring of which a third is marked takes in the peaks on it; what lies in a marked patch that is no ring stays.
    #[test]
    fn a_marked_circle_is_a_ring_and_a_patch_is_none() {
        let place = |x: usize, y: usize| (x as f32 - 100.0).hypot(y as f32 - 100.0);
        let circles =
            Circles::from_distances(Grid::from_fn(200, 200, |x, y| place(x, y).round() as u16));
        let ring = Sheet::from_fn(200, 200, |x, y| {
            let is_on = (place(x, y) - 60.0).abs() < 1.6 && (x / 8 + y / 8).is_multiple_of(3);
            2 * u8::from(is_on)
        });
        let peaks = [(100, 40), (160, 100), (100, 60), (30, 30)].map(|(x, y)| Pixel { x, y });
        let found = circles.grains(&ring, &peaks);
        assert_eq!(found, Some(vec![true, true, false, false]));
        let patch = Sheet::from_fn(200, 200, |x, y| 2 * u8::from(x < 130 && y < 130));
        assert_eq!(circles.grains(&patch, &peaks), Some(vec![false; 4]));
        assert_eq!(circles.grains(&Sheet::filled(3, 3, 0), &peaks), None);
    }
}
