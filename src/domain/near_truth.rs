//! Found peaks against the reflections that an indexing program integrated: nearly the truth.
//!
//! A strong reflection without a found peak is a miss. A found peak far from every reflection is doubtful, not always false:
//! other lattices and split spots are not predicted.

use super::listed::Reflection;
use super::score::{near_pairs, ratio, shifted};

/// Which reflections must have a peak, and how near counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearTruthOptions {
    /// Reflections with more than so many sigmas must have one.
    pub i_over_sigma: f32,
    pub within_px: f32,
}

impl Default for NearTruthOptions {
    fn default() -> Self {
        Self {
            i_over_sigma: 5.0,
            within_px: 3.0,
        }
    }
}

/// Counts of one frame; they add up over frames.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NearTruth {
    /// Reflections over the cut.
    pub n_strong: u64,
    /// Of those, the ones with a found peak nearby.
    pub n_seen: u64,
    pub n_found: u64,
    /// Found peaks with any reflection nearby.
    pub n_explained: u64,
    /// `n_seen` and `n_explained` of the found list shifted by 20 px, averaged over the four directions.
    pub chance_seen: f64,
    pub chance_explained: f64,
}

impl NearTruth {
    /// Counts an indexed frame. `found` are continuous positions in the slab.
    pub fn of(predicted: &[Reflection], found: &[[f32; 2]], options: NearTruthOptions) -> Self {
        let is_strong =
            |r: &&Reflection| r.sigma > 0.0 && r.intensity > options.i_over_sigma * r.sigma;
        let place = |r: &Reflection| [r.x, r.y];
        let strong: Vec<[f32; 2]> = predicted.iter().filter(is_strong).map(place).collect();
        let all: Vec<[f32; 2]> = predicted.iter().map(place).collect();
        let mut counts = Self {
            n_strong: strong.len() as u64,
            n_seen: reached(&strong, found, options.within_px),
            n_found: found.len() as u64,
            n_explained: reached(found, &all, options.within_px),
            ..Self::default()
        };
        for moved in shifted(found) {
            counts.chance_seen += reached(&strong, &moved, options.within_px) as f64 / 4.0;
            counts.chance_explained += reached(&moved, &all, options.within_px) as f64 / 4.0;
        }
        counts
    }

    pub fn merge(&mut self, other: &Self) {
        self.n_strong += other.n_strong;
        self.n_seen += other.n_seen;
        self.n_found += other.n_found;
        self.n_explained += other.n_explained;
        self.chance_seen += other.chance_seen;
        self.chance_explained += other.chance_explained;
    }

    /// The share of the strong reflections that have a found peak nearby.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.n_seen as f64, self.n_strong as f64)
    }

    pub fn chance_recall(&self) -> Option<f64> {
        ratio(self.chance_seen, self.n_strong as f64)
    }

    /// The share of the found peaks that have any reflection nearby.
    pub fn explained(&self) -> Option<f64> {
        ratio(self.n_explained as f64, self.n_found as f64)
    }

    pub fn chance_explained(&self) -> Option<f64> {
        ratio(self.chance_explained, self.n_found as f64)
    }
}

/// How many of `a` have one of `b` no further than `within` pixels away.
fn reached(a: &[[f32; 2]], b: &[[f32; 2]], within: f32) -> u64 {
    let mut is_reached = vec![false; a.len()];
    for (index, ..) in near_pairs(a, b, within) {
        if let Some(reached) = is_reached.get_mut(index) {
            *reached = true;
        }
    }
    is_reached.into_iter().filter(|reached| *reached).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strong_reflections_want_a_peak_and_peaks_a_reflection() {
        let reflection = |x: f32, y: f32, intensity: f32, sigma: f32| Reflection {
            x,
            y,
            intensity,
            sigma,
            ..Reflection::default()
        };
        let predicted = [
            reflection(50.0, 50.0, 60.0, 10.0),
            reflection(70.0, 50.0, 600.0, 10.0),
            reflection(150.0, 50.0, 50.0, 10.0),
            reflection(200.0, 50.0, 90.0, 0.0),
        ];
        // Near the first (twice), near the weak third, and far from all.
        let found = [[52.0, 50.0], [50.0, 47.1], [150.0, 53.0], [90.0, 90.0]];
        let counts = NearTruth::of(&predicted, &found, NearTruthOptions::default());
        assert_eq!(
            (
                counts.n_strong,
                counts.n_seen,
                counts.n_found,
                counts.n_explained
            ),
            (2, 1, 4, 3)
        );
        // Shifted right, two peaks fall on the second reflection: one strong reflection and two of four peaks in one of four
        // directions.
        assert_eq!(counts.chance_recall(), Some(0.125));
        assert_eq!(counts.chance_explained(), Some(0.125));
        let mut twice = counts;
        twice.merge(&counts);
        assert_eq!(twice.recall(), Some(0.5));
        assert_eq!(twice.explained(), Some(0.75));
    }
}
