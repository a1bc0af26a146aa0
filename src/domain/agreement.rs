//! How far two people's labels of one frame agree: peaks by matching, classes pixel by pixel.

use super::components::{Component, components};
use super::grid::Grid;
use super::labels::{Class, Sheet};
use super::score::{Confusion, matches};

/// The agreement of two sheets of one frame, or of many added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agreement {
    /// Components of class peak.
    pub peaks: [u64; 2],
    /// Pairs of them whose centres are no more than 2 px apart, each in one pair.
    pub agreed: u64,
    /// The distances of the pairs, pixels.
    pub distances_px: f64,
    pub pixels: u64,
    /// Pixels of different classes, ignore being one.
    pub different: u64,
    /// Pixels that neither ignores: mine down, theirs across.
    pub confusion: Confusion,
}

/// Compares two sheets; `None` when their shapes differ.
pub fn compare(mine: &Sheet, theirs: &Sheet) -> Option<Agreement> {
    if mine.rect() != theirs.rect() {
        return None;
    }
    let [a, b] = [mine, theirs].map(|sheet| {
        let found = components(sheet, Class::Peak.code());
        found.iter().map(center).collect::<Vec<_>>()
    });
    let pairs = matches(&a, &b);
    let mut confusion = Confusion::default();
    confusion.add(mine, theirs, &Grid::filled(mine.width(), mine.height(), 0));
    let cells = mine.cells().iter().zip(theirs.cells());
    Some(Agreement {
        peaks: [a.len() as u64, b.len() as u64],
        agreed: pairs.len() as u64,
        distances_px: pairs
            .iter()
            .map(|(.., distance)| f64::from(*distance))
            .sum(),
        pixels: mine.len() as u64,
        different: cells.filter(|(a, b)| a != b).count() as u64,
        confusion,
    })
}

fn center(component: &Component) -> [f32; 2] {
    let (mut x, mut y) = (0.0, 0.0);
    for pixel in component.pixels() {
        x += pixel.x as f64;
        y += pixel.y as f64;
    }
    let count = component.count.max(1) as f64;
    [(x / count + 0.5) as f32, (y / count + 0.5) as f32]
}

impl Agreement {
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.peaks.iter_mut().zip(other.peaks) {
            *sum += more;
        }
        self.agreed += other.agreed;
        self.distances_px += other.distances_px;
        self.pixels += other.pixels;
        self.different += other.different;
        self.confusion.merge(&other.confusion);
    }

    /// Twice the agreed peaks over all of both; `None` where neither has any.
    pub fn f1(&self) -> Option<f64> {
        let all: u64 = self.peaks.iter().sum();
        (all > 0).then(|| 2.0 * self.agreed as f64 / all as f64)
    }

    /// Mean distance of the agreed peaks.
    pub fn distance_px(&self) -> Option<f64> {
        (self.agreed > 0).then(|| self.distances_px / self.agreed as f64)
    }

    /// Cohen's kappa of the classes background, peak and artifact over the pixels that neither ignores.
    ///
    /// `None` where chance alone agrees everywhere, as when both are all background. Source: J. Cohen, Educ. Psychol.
    /// Meas. 20 (1960) 37.
    pub fn kappa(&self) -> Option<f64> {
        kappa(&self.confusion.counts)
    }

    /// The same of one class against the others.
    pub fn kappa_of(&self, class: Class) -> Option<f64> {
        let one = usize::from(class.code());
        let mut counts = [[0; 2]; 2];
        for (i, row) in self.confusion.counts.iter().enumerate() {
            for (j, count) in row.iter().enumerate() {
                counts[usize::from(i == one)][usize::from(j == one)] += count;
            }
        }
        kappa(&counts)
    }
}

fn kappa<const N: usize>(counts: &[[u64; N]; N]) -> Option<f64> {
    let all: u64 = counts.iter().flatten().sum();
    let all = (all > 0).then_some(all as f64)?;
    let (mut observed, mut expected) = (0.0, 0.0);
    for (i, row) in counts.iter().enumerate() {
        let of_mine: u64 = row.iter().sum();
        let of_theirs: u64 = counts.iter().filter_map(|row| row.get(i)).sum();
        observed += row.get(i).map_or(0.0, |count| *count as f64) / all;
        expected += of_mine as f64 / all * (of_theirs as f64 / all);
    }
    (expected < 1.0).then(|| (observed - expected) / (1.0 - expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_matched_and_kappa_is_cohens() {
        // Cohen's own form, by hand: 20 + 15 of 50 agree, expected 0.5: kappa 0.4.
        assert!((kappa(&[[20, 5], [10, 15]]).unwrap() - 0.4).abs() < 1e-12);
        // Python, by the definition: (p_o - p_e) / (1 - p_e) of the table.
        let three = kappa(&[[90, 2, 0], [1, 4, 1], [0, 1, 1]]).unwrap();
        assert!((three - 0.683_944_374_209_860_4).abs() < 1e-12, "{three}");
        assert_eq!(kappa(&[[7, 0], [0, 0]]), None);

        let mut mine = Sheet::filled(40, 20, 0);
        let mut theirs = mine.clone();
        for (x, y) in [(5, 5), (6, 5), (20, 10), (30, 3)] {
            *mine.get_mut(x, y).unwrap() = 1;
        }
        for (x, y) in [(6, 5), (21, 11), (12, 15)] {
            *theirs.get_mut(x, y).unwrap() = 1;
        }
        *theirs.get_mut(30, 3).unwrap() = 255;
        let found = compare(&mine, &theirs).unwrap();
        assert_eq!((found.peaks, found.agreed), ([3, 3], 2));
        assert_eq!(found.different, 5);
        assert_eq!(
            found.confusion.counts[1],
            [2, 1, 0],
            "the ignored pixel does not count"
        );
        assert!((found.f1().unwrap() - 2.0 / 3.0).abs() < 1e-12);
        let mut twice = found.clone();
        twice.add(&found);
        assert_eq!((twice.f1(), twice.kappa()), (found.f1(), found.kappa()));
        let same = compare(&mine, &mine).unwrap();
        assert_eq!(
            (same.f1(), same.kappa(), same.kappa_of(Class::Peak)),
            (Some(1.0), Some(1.0), Some(1.0))
        );
        assert_eq!(same.kappa_of(Class::Artifact), None);
        assert!(compare(&mine, &Sheet::filled(1, 1, 0)).is_none());
    }
}
