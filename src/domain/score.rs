//! How good predictions are: classes pixel by pixel, peaks by matching lists. Tallies add up over frames.

use super::frame::{Frame, bad};
use super::labels::{Class, Sheet};
use super::labels_rule::{DOUBT_SNR, PEAK_SNR};
use super::peaks::{Peak, measure_peaks};

/// Precision and its relatives; `None` where there was nothing to be right about.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassScore {
    pub precision: Option<f64>,
    pub recall: Option<f64>,
    pub f1: Option<f64>,
    pub iou: Option<f64>,
}

pub(super) fn ratio(part: f64, whole: f64) -> Option<f64> {
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

/// A true peak to match with. Continuous pixel position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    pub x: f32,
    pub y: f32,
    /// Infinite where it is not known.
    pub snr: f32,
    /// Whether missing it is a miss: its SNR is over 6, or a person says so.
    pub is_sure: bool,
}

impl Truth {
    /// A peak that its SNR alone speaks for; one without an SNR (0) is taken at its word.
    pub fn of_snr(x: f32, y: f32, snr: f32) -> Self {
        let snr = if snr > 0.0 { snr } else { f32::INFINITY };
        Self {
            x,
            y,
            snr,
            is_sure: snr > PEAK_SNR,
        }
    }
}

/// What becomes of a found peak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It is the nearest to a sure true peak, so many pixels away.
    Right(f32),
    /// It matches a true peak of SNR 3 to 6, or lies where nothing is wrong.
    Excused,
    Wrong,
}

/// The comparison of one frame's lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdicts {
    /// Whether each true peak was found, in the order of the truth.
    pub truth: Vec<bool>,
    /// In the order of the found peaks.
    pub found: Vec<Verdict>,
}

/// Compares found with true peaks.
///
/// True peaks of SNR over 6 count; those of 3 to 6 neither as missed nor, when found, as wrong. Pairs are matched
/// nearest first within 2 px, each peak once.
pub fn compare(truth: &[Truth], found: &[[f32; 2]]) -> Verdicts {
    let mut verdicts = Verdicts {
        truth: vec![false; truth.len()],
        found: vec![Verdict::Wrong; found.len()],
    };
    let is_doubtful = |t: &Truth| !t.is_sure && t.snr >= DOUBT_SNR && t.snr <= PEAK_SNR;
    for is_sure_round in [true, false] {
        let (places, indices): (Vec<[f32; 2]>, Vec<usize>) = (truth.iter().enumerate())
            .filter(|(_, t)| {
                if is_sure_round {
                    t.is_sure
                } else {
                    is_doubtful(t)
                }
            })
            .map(|(index, t)| ([t.x, t.y], index))
            .unzip();
        let (free, free_indices): (Vec<[f32; 2]>, Vec<usize>) = (found.iter().enumerate())
            .filter(|(index, _)| verdicts.found.get(*index) == Some(&Verdict::Wrong))
            .map(|(index, place)| (*place, index))
            .unzip();
        for (i, j, distance) in matches(&places, &free) {
            if let Some(seen) = indices.get(i).and_then(|i| verdicts.truth.get_mut(*i)) {
                *seen = true;
            }
            if let Some(verdict) = (free_indices.get(j)).and_then(|j| verdicts.found.get_mut(*j)) {
                *verdict = if is_sure_round {
                    Verdict::Right(distance)
                } else {
                    Verdict::Excused
                };
            }
        }
    }
    verdicts
}

/// The found peaks that a labelled frame can judge: of those without a true partner within 2 px, the ones on an ignored or
/// invalid pixel are left out, because nothing is wrong there.
pub fn judged(frame: &Frame, labels: &Sheet, truth: &[Truth], found: &[Peak]) -> Vec<Peak> {
    let places: Vec<[f32; 2]> = truth.iter().map(|t| [t.x, t.y]).collect();
    let mut has_partner = vec![false; found.len()];
    for (_, index, _) in matches(&places, &positions(found)) {
        if let Some(partner) = has_partner.get_mut(index) {
            *partner = true;
        }
    }
    (found.iter().zip(has_partner))
        .filter(|(peak, has_partner)| {
            let (x, y) = (peak.x.max(0.0) as usize, peak.y.max(0.0) as usize);
            let is_vague = labels.get(x, y).is_none_or(|c| *c == Class::Ignore.code());
            *has_partner || (!is_vague && frame.is_valid(x, y))
        })
        .map(|(peak, _)| *peak)
        .collect()
}

/// The true peaks of a labelled frame: its components of class peak, all of them sure.
pub fn labelled_truth(frame: &Frame, labels: &Sheet) -> Vec<Truth> {
    let peaks = measure_peaks(frame, labels);
    let truth = peaks.iter().map(|peak| Truth {
        x: peak.x,
        y: peak.y,
        snr: peak.snr,
        is_sure: true,
    });
    truth.collect()
}

pub fn positions(peaks: &[Peak]) -> Vec<[f32; 2]> {
    peaks.iter().map(|peak| [peak.x, peak.y]).collect()
}

/// Matches of found with true peaks, added up over frames; see [`compare`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeakTally {
    pub n_true: u64,
    /// True peaks of SNR up to 6, which are not counted as true.
    pub n_left_out: u64,
    /// Found peaks, without those that match a doubtful one.
    pub n_found: u64,
    /// The distances of the matched pairs, pixels.
    pub distances_px: Vec<f32>,
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
    pub centroid_error_median_px: Option<f64>,
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

/// The list shifted by 20 px to the right, left, down and up.
pub fn shifted(found: &[[f32; 2]]) -> [Vec<[f32; 2]>; 4] {
    let shift = CHANCE_SHIFT_PX;
    [[shift, 0.0], [-shift, 0.0], [0.0, shift], [0.0, -shift]]
        .map(|[dx, dy]| found.iter().map(|[x, y]| [x + dx, y + dy]).collect())
}

impl PeakTally {
    /// Adds a frame: true peaks and the positions of the found ones, both continuous pixels.
    pub fn add(&mut self, truth: &[Truth], found: &[[f32; 2]]) {
        let verdicts = compare(truth, found);
        for verdict in verdicts.found {
            self.n_found += u64::from(verdict != Verdict::Excused);
            if let Verdict::Right(distance) = verdict {
                self.distances_px.push(distance);
            }
        }
        let sure: Vec<[f32; 2]> = (truth.iter().filter(|t| t.is_sure))
            .map(|t| [t.x, t.y])
            .collect();
        self.n_true += sure.len() as u64;
        self.n_left_out += (truth.len() - sure.len()) as u64;
        self.n_shifted += found.len() as u64;
        for moved in shifted(found) {
            self.chance_matches += matches(&sure, &moved).len() as f64 / 4.0;
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.n_true += other.n_true;
        self.n_left_out += other.n_left_out;
        self.n_found += other.n_found;
        self.distances_px.extend(&other.distances_px);
        self.chance_matches += other.chance_matches;
        self.n_shifted += other.n_shifted;
    }

    pub fn score(&self) -> PeakScore {
        let (n_true, n_found) = (self.n_true as f64, self.n_found as f64);
        let matched = self.distances_px.len() as f64;
        PeakScore {
            precision: ratio(matched, n_found),
            recall: ratio(matched, n_true),
            f1: ratio(2.0 * matched, n_true + n_found),
            centroid_error_px: mean(&self.distances_px),
            centroid_error_median_px: median(&self.distances_px),
            n_true: self.n_true,
            n_left_out: self.n_left_out,
            n_found: self.n_found,
            chance: ratio(self.chance_matches, self.n_shifted as f64),
        }
    }
}

pub(super) fn mean(values: &[f32]) -> Option<f64> {
    let sum: f64 = values.iter().map(|v| f64::from(*v)).sum();
    ratio(sum, values.len() as f64)
}

/// The middle value, the mean of the two in the middle where their number is even.
pub(super) fn median(values: &[f32]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get((sorted.len() - 1) / 2)?;
    Some((f64::from(*lower) + f64::from(*upper)) / 2.0)
}

/// Pairs (index in `a`, index in `b`, distance in px) within 2 px, nearest first, each point once.
pub fn matches(a: &[[f32; 2]], b: &[[f32; 2]]) -> Vec<(usize, usize, f32)> {
    let mut pairs = near_pairs(a, b, MATCH_PX);
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

/// All pairs (index in `a`, index in `b`, distance in px) no further apart than `within` pixels.
pub fn near_pairs(a: &[[f32; 2]], b: &[[f32; 2]], within: f32) -> Vec<(usize, usize, f32)> {
    let mut order: Vec<usize> = (0..b.len()).collect();
    let key = |index: &usize| b.get(*index).map_or(0.0, |p| p[0]);
    order.sort_by(|l, r| key(l).total_cmp(&key(r)));
    let mut pairs = Vec::new();
    for (i, [x, y]) in a.iter().enumerate() {
        let start = order.partition_point(|j| key(j) < x - within);
        for j in order
            .iter()
            .skip(start)
            .take_while(|j| key(j) <= x + within)
        {
            let Some([bx, by]) = b.get(*j) else { continue };
            let distance = (x - bx).hypot(y - by);
            if distance <= within {
                pairs.push((i, *j, distance));
            }
        }
    }
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
            .map(|&(x, y, snr)| Truth::of_snr(x, y, snr))
            .collect();
        let mut tally = PeakTally::default();
        tally.add(&truth, found);
        assert_eq!(
            (tally.n_true, tally.n_found, tally.distances_px.len() as u64),
            expected,
            "{truth:?} {found:?}"
        );
        let mut twice = tally.clone();
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
        let score = check(
            &[(10.0, 10.0, 9.0), (30.0, 10.0, 9.0), (50.0, 10.0, 9.0)],
            &[[10.0, 10.1], [30.0, 10.2], [50.0, 11.5]],
            (3, 3, 3),
        );
        assert!((score.centroid_error_median_px.unwrap() - 0.2).abs() < 1e-6);
        assert!((score.centroid_error_px.unwrap() - 0.6).abs() < 1e-6);
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
        let found = [[5.5, 5.5], [20.5, 20.5], [30.5, 30.5]].map(|[x, y]| Peak {
            x,
            y,
            ..Peak::default()
        });
        let truth = labelled_truth(&frame, &labels);
        let judged = judged(&frame, &labels, &truth, &found);
        let verdicts = compare(&truth, &positions(&judged));
        assert_eq!(verdicts.found, [Verdict::Right(0.0), Verdict::Wrong]);
    }
}
