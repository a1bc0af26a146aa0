//! Scores of labelled frames in parts: by resolution shell, by SNR, on blank frames, on frames without artifacts.

use super::components::components;
use super::frame::{Frame, bad};
use super::geometry::Geometry;
use super::labels::{Class, Sheet};
use super::labels_rule::DOUBT_SNR;
use super::peaks::Peak;
use super::score::{
    Confusion, PeakTally, Truth, Verdict, compare, judged, mean, median, positions, ratio,
};

/// Edges of the SNR bins; from 3 to 6 is what the labelling rule ignores.
pub const SNR_EDGES: [f32; 8] = [0.0, 3.0, 6.0, 8.0, 12.0, 20.0, 50.0, f32::INFINITY];
/// Edges of the resolution shells in angstrom, from the beam outwards.
pub const SHELL_EDGES_ANGSTROM: [f32; 9] = [f32::INFINITY, 10.0, 6.0, 4.0, 3.0, 2.5, 2.0, 1.7, 0.0];
/// Edges of the shells in pixels from the beam, where no resolution is known.
pub const RADIUS_EDGES_PX: [f32; 9] = [
    0.0,
    100.0,
    200.0,
    400.0,
    600.0,
    800.0,
    1200.0,
    1600.0,
    f32::INFINITY,
];

/// True and found peaks of one shell or one range of SNR.
///
/// True peaks are put into it by their own place or SNR, found ones by theirs, as measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// True peaks; in the bin of SNR 3 to 6 those that count as nothing, elsewhere the sure ones.
    pub n_true: u64,
    /// Of those, the ones that were found.
    pub n_seen: u64,
    /// Found peaks, without the excused ones.
    pub n_found: u64,
    /// The distances of those found peaks that are right, pixels.
    pub distances_px: Vec<f32>,
}

impl Part {
    pub fn recall(&self) -> Option<f64> {
        ratio(self.n_seen as f64, self.n_true as f64)
    }

    pub fn precision(&self) -> Option<f64> {
        ratio(self.distances_px.len() as f64, self.n_found as f64)
    }

    /// The harmonic mean of recall and precision, where both are defined.
    pub fn f1(&self) -> Option<f64> {
        let (recall, precision) = (self.recall()?, self.precision()?);
        let sum = recall + precision;
        Some(if sum > 0.0 {
            2.0 * recall * precision / sum
        } else {
            0.0
        })
    }

    pub fn centroid_error_px(&self) -> Option<f64> {
        mean(&self.distances_px)
    }

    pub fn centroid_error_median_px(&self) -> Option<f64> {
        median(&self.distances_px)
    }

    fn merge(&mut self, other: &Self) {
        self.n_true += other.n_true;
        self.n_seen += other.n_seen;
        self.n_found += other.n_found;
        self.distances_px.extend(&other.distances_px);
    }

    pub fn is_empty(&self) -> bool {
        self.n_true == 0 && self.n_found == 0
    }
}

/// What was found where there is no true peak at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blanks {
    pub frames: u64,
    pub false_peaks: u64,
    /// The most in one frame.
    pub most_in_a_frame: u64,
}

/// What was marked artifact on frames without any.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Clean {
    pub frames: u64,
    pub valid_pixels: u64,
    pub marked_pixels: u64,
    /// The largest share of the valid pixels of one frame.
    pub worst_fraction: f64,
    /// Pixels of the largest connected patch.
    pub largest_component_px: u64,
}

/// One frame with its truth and what was made of it.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    pub frame: &'a Frame,
    pub labels: &'a Sheet,
    /// Resolution needs all of it, else the distance from the beam is taken, or from the middle of the frame.
    pub geometry: &'a Geometry,
    pub truth: &'a [Truth],
    pub classes: &'a Sheet,
    pub found: &'a [Peak],
}

/// All scores of some frames; they add up frame by frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Breakdown {
    pub frames: usize,
    pub pixels: Confusion,
    pub peaks: PeakTally,
    /// By [`SNR_EDGES`].
    pub snr: [Part; SNR_EDGES.len() - 1],
    /// By [`SHELL_EDGES_ANGSTROM`].
    pub shells: [Part; SHELL_EDGES_ANGSTROM.len() - 1],
    /// By [`RADIUS_EDGES_PX`].
    pub radii: [Part; RADIUS_EDGES_PX.len() - 1],
    pub blanks: Blanks,
    pub clean: Clean,
}

/// Whether the labels have an artifact where the detector is valid.
pub fn has_artifacts(scene: &Scene) -> bool {
    let cells = scene.labels.cells().iter().zip(scene.frame.bad.cells());
    let mut cells = cells;
    cells.any(|(class, bits)| *class == Class::Artifact.code() && bits & bad::NOT_VALID == 0)
}

impl Breakdown {
    pub fn add(&mut self, scene: &Scene) {
        let found = judged(scene.frame, scene.labels, scene.truth, scene.found);
        self.frames += 1;
        self.pixels
            .add(scene.labels, scene.classes, &scene.frame.bad);
        self.peaks.add(scene.truth, &positions(&found));
        self.add_parts(scene, &found);
        if scene.truth.is_empty() {
            let count = found.len() as u64;
            self.blanks.frames += 1;
            self.blanks.false_peaks += count;
            self.blanks.most_in_a_frame = self.blanks.most_in_a_frame.max(count);
        }
        if !has_artifacts(scene) {
            self.clean.add(scene);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.frames += other.frames;
        self.pixels.merge(&other.pixels);
        self.peaks.merge(&other.peaks);
        let parts = (self.snr.iter_mut().zip(&other.snr))
            .chain(self.shells.iter_mut().zip(&other.shells))
            .chain(self.radii.iter_mut().zip(&other.radii));
        for (mine, theirs) in parts {
            mine.merge(theirs);
        }
        let (mine, theirs) = (&mut self.blanks, &other.blanks);
        mine.frames += theirs.frames;
        mine.false_peaks += theirs.false_peaks;
        mine.most_in_a_frame = mine.most_in_a_frame.max(theirs.most_in_a_frame);
        let (mine, theirs) = (&mut self.clean, &other.clean);
        mine.frames += theirs.frames;
        mine.valid_pixels += theirs.valid_pixels;
        mine.marked_pixels += theirs.marked_pixels;
        mine.worst_fraction = mine.worst_fraction.max(theirs.worst_fraction);
        mine.largest_component_px = mine.largest_component_px.max(theirs.largest_component_px);
    }

    fn add_parts(&mut self, scene: &Scene, found: &[Peak]) {
        let verdicts = compare(scene.truth, &positions(found));
        let geometry = scene.geometry;
        let has_shells = geometry.places_rings();
        let [cx, cy] = geometry.beam_center_px.unwrap_or([
            scene.frame.width() as f64 / 2.0,
            scene.frame.height() as f64 / 2.0,
        ]);
        let place = |[x, y]: [f32; 2]| {
            // The middle of a peak that the frame cuts may lie outside.
            let inside = |at: f32, length: usize| f64::from(at).clamp(0.0, length as f64 - 0.5);
            let (x, y) = (
                inside(x, scene.frame.width()),
                inside(y, scene.frame.height()),
            );
            if has_shells {
                geometry.d_angstrom(x, y)
            } else {
                Some((x - cx).hypot(y - cy))
            }
        };
        let (shells, edges) = if has_shells {
            (&mut self.shells, SHELL_EDGES_ANGSTROM)
        } else {
            (&mut self.radii, RADIUS_EDGES_PX)
        };
        let snr_parts = &mut self.snr;
        let mut in_parts = |at: Option<[f32; 2]>, snr: f32, change: &dyn Fn(&mut Part)| {
            let shell = at.and_then(place).and_then(|at| part_of(&edges, at as f32));
            if let Some(part) = shell.and_then(|index| shells.get_mut(index)) {
                change(part);
            }
            if let Some(part) = part_of(&SNR_EDGES, snr).and_then(|i| snr_parts.get_mut(i)) {
                change(part);
            }
        };
        for (peak, verdict) in found.iter().zip(&verdicts.found) {
            in_parts(Some([peak.x, peak.y]), peak.snr.max(0.0), &|part| {
                part.n_found += u64::from(*verdict != Verdict::Excused);
                if let Verdict::Right(distance) = verdict {
                    part.distances_px.push(*distance);
                }
            });
        }
        for (truth, is_seen) in scene.truth.iter().zip(&verdicts.truth) {
            // Peaks in doubt have a range of SNR to themselves, but no say in a shell.
            let at = truth.is_sure.then_some([truth.x, truth.y]);
            if truth.is_sure || truth.snr >= DOUBT_SNR {
                in_parts(at, truth.snr, &|part| {
                    part.n_true += 1;
                    part.n_seen += u64::from(*is_seen);
                });
            }
        }
    }
}

impl Clean {
    fn add(&mut self, scene: &Scene) {
        let code = Class::Artifact.code();
        let (mut valid, mut marked) = (0_u64, 0_u64);
        for (class, bits) in scene.classes.cells().iter().zip(scene.frame.bad.cells()) {
            if bits & bad::NOT_VALID == 0 {
                valid += 1;
                marked += u64::from(*class == code);
            }
        }
        self.frames += 1;
        self.valid_pixels += valid;
        self.marked_pixels += marked;
        let fraction = ratio(marked as f64, valid as f64).unwrap_or(0.0);
        self.worst_fraction = self.worst_fraction.max(fraction);
        for component in components(scene.classes, code) {
            self.largest_component_px = self.largest_component_px.max(component.count as u64);
        }
    }

    /// The share of the valid pixels of all frames.
    pub fn marked_fraction(&self) -> Option<f64> {
        ratio(self.marked_pixels as f64, self.valid_pixels as f64)
    }
}

/// Between which of the edges, rising or falling, a value lies; the lower edge belongs to the part, infinity to none.
fn part_of(edges: &[f32], value: f32) -> Option<usize> {
    edges.windows(2).position(|pair| {
        let (low, high) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
        value >= low && value < high
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::grid::Grid;

    /// Two true peaks, one in doubt, one false, one on the ring; a patch of artifact where there is none.
    #[test]
    fn every_peak_is_in_its_shell_and_its_range_of_snr() {
        let frame = Frame::new(0, Grid::filled(400, 100, 0.0), Grid::filled(400, 100, 0)).unwrap();
        let blank = Sheet::filled(400, 100, 0);
        let mut classes = blank.clone();
        for x in 200..230 {
            *classes.get_mut(x, 50).unwrap() = Class::Artifact.code();
        }
        let truth = [(9.0, 7.0), (150.0, 60.0), (250.0, 4.0), (390.0, 30.0)]
            .map(|(x, snr)| Truth::of_snr(x, 50.0, snr));
        let peak = |x: f32, snr: f32| Peak {
            x,
            y: 50.0,
            snr,
            ..Peak::default()
        };
        let found = [
            peak(9.5, 9.0),
            peak(150.0, 55.0),
            peak(250.0, 5.0),
            peak(320.0, 14.0),
        ];
        let radial = Geometry {
            beam_center_px: Some([0.0, 50.0]),
            ..Geometry::default()
        };
        // tan(2 theta) = x / 100 at 1 angstrom: x = 9 is d = 11.2 A, 150 is 1.20 A.
        let placed = Geometry {
            wavelength_angstrom: Some(1.0),
            detector_distance_m: Some(0.01),
            pixel_size_m: Some([1e-4, 1e-4]),
            ..radial.clone()
        };
        let add = |geometry: &Geometry, truth: &[Truth], found: &[Peak]| {
            let mut breakdown = Breakdown::default();
            breakdown.add(&Scene {
                frame: &frame,
                labels: &blank,
                geometry,
                truth,
                classes: &classes,
                found,
            });
            breakdown
        };
        let counts = |parts: &[Part]| -> Vec<[u64; 4]> {
            let of = |p: &Part| [p.n_true, p.n_seen, p.n_found, p.distances_px.len() as u64];
            parts.iter().map(of).collect()
        };
        let by_radius = add(&radial, &truth, &found);
        let mut expected = [[0; 4]; 8];
        expected[0] = [1, 1, 1, 1];
        expected[1] = [1, 1, 1, 1];
        expected[2] = [1, 0, 1, 0];
        assert_eq!(counts(&by_radius.radii), expected);
        let mut snr = [[0; 4]; 7];
        snr[1] = [1, 1, 0, 0];
        snr[2] = [1, 1, 0, 0];
        snr[3] = [0, 0, 1, 1];
        snr[4] = [0, 0, 1, 0];
        snr[5] = [1, 0, 0, 0];
        snr[6] = [1, 1, 1, 1];
        assert_eq!(counts(&by_radius.snr), snr);
        assert_eq!(by_radius.snr[3].centroid_error_median_px(), Some(0.5));
        assert_eq!(by_radius.radii[0].f1(), Some(1.0));

        let by_shell = add(&placed, &truth, &found);
        let mut expected = [[0; 4]; 8];
        expected[0] = [1, 1, 1, 1];
        expected[7] = [2, 1, 2, 1];
        assert_eq!(counts(&by_shell.shells), expected);
        assert!(by_shell.radii.iter().all(Part::is_empty));

        let clean = by_shell.clean;
        assert_eq!((clean.frames, clean.largest_component_px), (1, 30));
        assert_eq!(clean.marked_fraction(), Some(30.0 / 40_000.0));
        assert_eq!(by_shell.blanks.frames, 0);
        let mut twice = by_shell.clone();
        twice.merge(&by_shell);
        assert_eq!((twice.shells[7].n_true, twice.clean.frames), (4, 2));
        let nothing = add(&placed, &[], &found);
        assert_eq!(nothing.blanks.most_in_a_frame, 4);
    }
}
