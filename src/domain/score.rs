//! How good predictions are: classes pixel by pixel, peaks by matching lists. Tallies add up over frames.

use super::frame::{Frame, bad};
use super::labels::{Class, Sheet};
use super::labels_rule::{DOUBT_SNR, PEAK_SNR};
use super::peaks::measure_peaks;

/// Precision and its relatives; `None` where there was nothing to be right about.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassScore {
    pub precision: Option<f64>,
    pub recall: Option<f64>,
    pub f1: Option<f64>,
    pub iou: Option<f64>,
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// Pixels by true and predicted class; ignored and invalid pixels are not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// `counts[truth][predicted]`, classes 0, 1, 2.
    pub counts: [[u64; 3]; 3],
}

impl Confusion {
    /// Counts one frame. `bad` are its CXI bits; does nothing when the shapes differ.
    pub fn add(&mut self, truth: &Sheet, predicted: &Sheet, bad: &super::grid::Grid<u16>) {
        if truth.rect() != predicted.rect() || truth.rect() != bad.rect() {
            return;
        }
        let cells = truth.cells().iter().zip(predicted.cells()).zip(bad.cells());
        for ((truth, predicted), bits) in cells {
            if bits & bad::NOT_VALID != 0 {
                continue;
            }
            if let Some(count) = self
                .counts
                .get_mut(usize::from(*truth))
                .and_then(|row| row.get_mut(usize::from(*predicted)))
            {
                *count += 1;
            }
        }
    }

    pub fn merge(&mut self, other: &Self) {
        let both = self
            .counts
            .iter_mut()
            .flatten()
            .zip(other.counts.iter().flatten());
        for (mine, theirs) in both {
            *mine += theirs;
        }
    }

    /// Scores of background, peak or artifact; all `None` for ignore.
    pub fn score(&self, class: Class) -> ClassScore {
        let index = usize::from(class.code());
        let Some(row) = self.counts.get(index) else {
            return ClassScore::default();
        };
        let hit = row.get(index).copied().unwrap_or(0) as f64;
        let truth = row.iter().sum::<u64>() as f64;
        let found = self
            .counts
            .iter()
            .filter_map(|row| row.get(index))
            .sum::<u64>() as f64;
        ClassScore {
            precision: ratio(hit, found),
            recall: ratio(hit, truth),
            f1: ratio(2.0 * hit, truth + found),
            iou: ratio(hit, truth + found - hit),
        }
    }
}

/// A true peak to match with. Continuous pixel position; infinite SNR where a person says so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    pub x: f32,
    pub y: f32,
    pub snr: f32,
}

/// Matches of found with true peaks, added up over frames.
///
/// True peaks of SNR over 6 count; those of 3 to 6 neither as missed nor, when found, as wrong. Pairs are matched
/// nearest first within 2 px, each peak once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PeakTally {
    pub n_true: u64,
    /// True peaks of SNR up to 6, which are not counted as true.
    pub n_left_out: u64,
    /// Found peaks, without those that match a doubtful one.
    pub n_found: u64,
    pub matched: u64,
    /// Sum of the distances of the matched pairs, pixels.
    pub distance_px: f64,
    /// Matches of the found list shifted by 20 px, averaged over the four directions.
    pub chance_matches: f64,
    /// All found peaks that were shifted.
    pub n_shifted: u64,
}

/// The scores of a tally; `None` where there was nothing to be right about.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PeakScore {
    pub precision: Option<f64>,
    pub recall: Option<f64>,
    pub f1: Option<f64>,
    /// Mean distance of the matched pairs.
    pub centroid_error_px: Option<f64>,
    pub n_true: u64,
    /// True peaks of SNR up to 6, which are not counted as true.
    pub n_left_out: u64,
    pub n_found: u64,
    /// Share of the found peaks that would match after a shift by 20 px.
    pub chance: Option<f64>,
}

/// Pairs further apart are no match.
pub const MATCH_PX: f32 = 2.0;
/// By how much the found list is shifted to see what chance would match.
pub const CHANCE_SHIFT_PX: f32 = 20.0;

impl PeakTally {
    /// Adds a frame: true peaks and the positions of the found ones, both continuous pixels.
    pub fn add(&mut self, truth: &[Truth], found: &[[f32; 2]]) {
        let sure: Vec<[f32; 2]> = (truth.iter().filter(|t| t.snr > PEAK_SNR))
            .map(|t| [t.x, t.y])
            .collect();
        let doubtful: Vec<[f32; 2]> = truth
            .iter()
            .filter(|t| t.snr >= DOUBT_SNR && t.snr <= PEAK_SNR)
            .map(|t| [t.x, t.y])
            .collect();
        let pairs = matches(&sure, found);
        let mut free = vec![true; found.len()];
        for (_, index, distance) in &pairs {
            if let Some(free) = free.get_mut(*index) {
                *free = false;
            }
            self.distance_px += f64::from(*distance);
        }
        let rest: Vec<[f32; 2]> = found
            .iter()
            .zip(&free)
            .filter(|(_, free)| **free)
            .map(|(peak, _)| *peak)
            .collect();
        let excused = matches(&doubtful, &rest).len();
        self.n_true += sure.len() as u64;
        self.n_left_out += (truth.len() - sure.len()) as u64;
        self.n_found += (found.len() - excused) as u64;
        self.matched += pairs.len() as u64;
        self.n_shifted += found.len() as u64;
        let shift = CHANCE_SHIFT_PX;
        for [dx, dy] in [[shift, 0.0], [-shift, 0.0], [0.0, shift], [0.0, -shift]] {
            let moved: Vec<[f32; 2]> = found.iter().map(|[x, y]| [x + dx, y + dy]).collect();
            self.chance_matches += matches(&sure, &moved).len() as f64 / 4.0;
        }
    }

    /// Adds a labelled frame: its components of class peak are true, and a found peak on an ignored or invalid pixel is
    /// neither right nor wrong.
    pub fn add_labelled(&mut self, frame: &Frame, labels: &Sheet, found: &[[f32; 2]]) {
        let truth: Vec<Truth> = measure_peaks(frame, labels)
            .iter()
            .map(|peak| Truth {
                x: peak.x,
                y: peak.y,
                snr: f32::INFINITY,
            })
            .collect();
        let sure: Vec<[f32; 2]> = truth.iter().map(|t| [t.x, t.y]).collect();
        let matched: Vec<usize> = matches(&sure, found).iter().map(|m| m.1).collect();
        let judged: Vec<[f32; 2]> = found
            .iter()
            .enumerate()
            .filter(|(index, [x, y])| {
                let (x, y) = (x.max(0.0) as usize, y.max(0.0) as usize);
                let vague = labels.get(x, y).is_none_or(|c| *c == Class::Ignore.code());
                matched.contains(index) || (!vague && frame.is_valid(x, y))
            })
            .map(|(_, peak)| *peak)
            .collect();
        self.add(&truth, &judged);
    }

    pub fn merge(&mut self, other: &Self) {
        self.n_true += other.n_true;
        self.n_left_out += other.n_left_out;
        self.n_found += other.n_found;
        self.matched += other.matched;
        self.distance_px += other.distance_px;
        self.chance_matches += other.chance_matches;
        self.n_shifted += other.n_shifted;
    }

    pub fn score(&self) -> PeakScore {
        let (n_true, n_found, matched) =
            (self.n_true as f64, self.n_found as f64, self.matched as f64);
        PeakScore {
            precision: ratio(matched, n_found),
            recall: ratio(matched, n_true),
            f1: ratio(2.0 * matched, n_true + n_found),
            centroid_error_px: ratio(self.distance_px, matched),
            n_true: self.n_true,
            n_left_out: self.n_left_out,
            n_found: self.n_found,
            chance: ratio(self.chance_matches, self.n_shifted as f64),
        }
    }
}

/// Pairs (index in `a`, index in `b`, distance in px) within 2 px, nearest first, each point once.
pub fn matches(a: &[[f32; 2]], b: &[[f32; 2]]) -> Vec<(usize, usize, f32)> {
    let mut order: Vec<usize> = (0..b.len()).collect();
    let key = |index: &usize| b.get(*index).map_or(0.0, |p| p[0]);
    order.sort_by(|l, r| key(l).total_cmp(&key(r)));
    let mut pairs = Vec::new();
    for (i, [x, y]) in a.iter().enumerate() {
        let start = order.partition_point(|j| key(j) < x - MATCH_PX);
        for j in order
            .iter()
            .skip(start)
            .take_while(|j| key(j) <= x + MATCH_PX)
        {
            let Some([bx, by]) = b.get(*j) else { continue };
            let distance = (x - bx).hypot(y - by);
            if distance <= MATCH_PX {
                pairs.push((i, *j, distance));
            }
        }
    }
    pairs.sort_by(|l, r| l.2.total_cmp(&r.2).then(l.0.cmp(&r.0)).then(l.1.cmp(&r.1)));
    let (mut taken_a, mut taken_b) = (vec![false; a.len()], vec![false; b.len()]);
    pairs.retain(
        |(i, j, _)| match (taken_a.get_mut(*i), taken_b.get_mut(*j)) {
            (Some(i), Some(j)) if !*i && !*j => {
                *i = true;
                *j = true;
                true
            }
            _ => false,
        },
    );
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::grid::Grid;

    fn check(
        truth: &[(f32, f32, f32)],
        found: &[[f32; 2]],
        expected: (u64, u64, u64),
    ) -> PeakScore {
        let truth: Vec<Truth> = truth
            .iter()
            .map(|&(x, y, snr)| Truth { x, y, snr })
            .collect();
        let mut tally = PeakTally::default();
        tally.add(&truth, found);
        assert_eq!(
            (tally.n_true, tally.n_found, tally.matched),
            expected,
            "{truth:?} {found:?}"
        );
        let mut twice = tally;
        twice.merge(&tally);
        assert_eq!(twice.score().f1, tally.score().f1);
        tally.score()
    }

    #[test]
    fn peaks_match_nearest_first_and_once() {
        check(&[], &[], (0, 0, 0));
        check(
            &[(10.0, 10.0, 9.0)],
            &[[11.0, 10.0], [9.5, 10.0]],
            (1, 2, 1),
        );
        let score = check(
            &[(10.0, 10.0, 9.0), (12.0, 10.0, 9.0)],
            &[[11.5, 10.0], [13.0, 10.0]],
            (2, 2, 1),
        );
        // The first found peak takes the second true one, and the other is then too far from the first.
        assert_eq!(score.centroid_error_px, Some(0.5));
        check(&[(10.0, 10.0, 4.0)], &[[10.0, 10.0]], (0, 0, 0));
        check(&[(10.0, 10.0, 4.0)], &[], (0, 0, 0));
        check(&[(10.0, 10.0, 2.0)], &[[10.0, 10.0]], (0, 1, 0));
        check(&[(10.0, 10.0, 9.0)], &[[12.1, 10.0]], (1, 1, 0));
        let score = check(
            &[(10.0, 10.0, 9.0), (30.0, 10.0, 9.0)],
            &[[10.0, 10.0], [30.0, 10.0]],
            (2, 2, 2),
        );
        assert_eq!(score.chance, Some(0.25));
        assert_eq!(score.f1, Some(1.0));
    }

    #[test]
    fn pixels_ignored_or_invalid_do_not_count() {
        let truth = Grid::from_cells(6, 1, vec![0, 1, 1, 2, 255, 1]).unwrap();
        let predicted = Grid::from_cells(6, 1, vec![0, 1, 0, 2, 1, 1]).unwrap();
        let bad = Grid::from_cells(6, 1, vec![0, 0, bad::SATURATED, 0, 0, bad::HOT]).unwrap();
        let mut confusion = Confusion::default();
        confusion.add(&truth, &predicted, &bad);
        confusion.merge(&Confusion::default());
        let peak = confusion.score(Class::Peak);
        assert_eq!(peak.precision, Some(1.0));
        assert_eq!(peak.recall, Some(0.5));
        assert_eq!(peak.iou, Some(0.5));
        assert_eq!(confusion.score(Class::Artifact).f1, Some(1.0));
        assert_eq!(confusion.score(Class::Background).precision, Some(0.5));
        assert_eq!(Confusion::default().score(Class::Peak).f1, None);
    }

    #[test]
    fn a_found_peak_on_an_ignored_pixel_is_excused() {
        let mut labels = Grid::filled(40, 40, 0);
        *labels.get_mut(5, 5).unwrap() = 1;
        *labels.get_mut(20, 20).unwrap() = 255;
        let frame = Frame::new(0, labels.map(|c| f32::from(*c)), Grid::filled(40, 40, 0)).unwrap();
        let mut tally = PeakTally::default();
        tally.add_labelled(&frame, &labels, &[[5.5, 5.5], [20.5, 20.5], [30.5, 30.5]]);
        assert_eq!((tally.n_true, tally.n_found, tally.matched), (1, 2, 1));
    }
}
