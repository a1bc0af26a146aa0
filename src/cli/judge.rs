//! Judges what a net or a classical finder makes of labelled frames, and tells it as JSON.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Failure;
use super::output::rounded;
use crate::domain::breakdown::{
    Breakdown, Part, RADIUS_EDGES_PX, SHELL_EDGES_ANGSTROM, SNR_EDGES, Scene, has_artifacts,
};
use crate::domain::finders::{Finder, radius_bins};
use crate::domain::frame::Frame;
use crate::domain::geometry::Geometry;
use crate::domain::grid::{Grid, PixelRect};
use crate::domain::labels::{Class, Sheet};
use crate::domain::peaks;
use crate::domain::peaks::circles::Circles;
use crate::domain::score::{PeakTally, Truth, labelled_truth};
use crate::domain::simulate::TruePeak;
use crate::net::Net;
use crate::net::predict::Asked;

/// What is judged.
pub enum Subject {
    Net {
        net: Box<Net>,
        threshold: Option<f32>,
    },
    Finder(Finder),
}

impl Subject {
    pub fn name(&self) -> &str {
        match self {
            Self::Net { net, .. } => net.name(),
            Self::Finder(finder) => finder.name(),
        }
    }
}

/// Where the pixels of some frames are, and what a classical finder derives from it once.
pub struct Place {
    pub geometry: Geometry,
    /// About the beam, where it is known.
    circles: Option<Circles>,
    bins: Grid<u16>,
    panels: Vec<PixelRect>,
}

impl Place {
    /// For frames of one size.
    pub fn new(geometry: Geometry, width: usize, height: usize) -> Self {
        Self {
            circles: Circles::of(&geometry, width, height),
            bins: radius_bins(&geometry, width, height),
            panels: geometry.panels.iter().map(|panel| panel.rect).collect(),
            geometry,
        }
    }

    /// What a net is asked here.
    const fn asked(&self, threshold: Option<f32>) -> Asked<'_> {
        Asked {
            threshold,
            circles: self.circles.as_ref(),
        }
    }
}

/// A labelled frame; without known peaks they are measured on the labels.
#[derive(Clone, Copy)]
pub struct Labelled<'a> {
    pub frame: &'a Frame,
    pub sheet: &'a Sheet,
    pub known: Option<&'a [Truth]>,
}

/// Adds up what is made of labelled frames.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    with_artifacts: Breakdown,
    without_artifacts: Breakdown,
    pub all: Breakdown,
    took: Duration,
}

impl Judge {
    /// Predicts a frame with a net and compares; without known peaks they are measured on the labels. The net alone is judged:
    /// rings about the beam are not asked.
    pub fn look(
        &mut self,
        net: &Net,
        frame: &Frame,
        sheet: &Sheet,
        known: Option<&[TruePeak]>,
    ) -> Result<(), Failure> {
        let truth = |peak: &TruePeak| Truth::of_snr(peak.x, peak.y, peak.snr);
        let known = known.map(|peaks| peaks.iter().map(truth).collect::<Vec<_>>());
        let labelled = Labelled {
            frame,
            sheet,
            known: known.as_deref(),
        };
        let start = Instant::now();
        let predictions = net.predict(&[frame], Asked::default())?;
        self.took += start.elapsed();
        for prediction in predictions {
            self.settle(labelled, prediction.classes, &Geometry::default());
        }
        Ok(())
    }

    /// Compares what the subject finds in a frame with its labels.
    pub fn frame(
        &mut self,
        subject: &Subject,
        place: &Place,
        labelled: Labelled<'_>,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        match subject {
            Subject::Net { net, threshold } => {
                let predictions = net.predict(&[labelled.frame], place.asked(*threshold))?;
                self.took += start.elapsed();
                for prediction in predictions {
                    self.settle(labelled, prediction.classes, &place.geometry);
                }
            }
            Subject::Finder(finder) => {
                let classes = finder.find(labelled.frame, &place.bins, &place.panels);
                self.took += start.elapsed();
                // A classical finder has had its own word about noise.
                let found = peaks::measure_peaks(labelled.frame, &classes);
                self.add(labelled, &classes, &found, &place.geometry);
            }
        }
        Ok(())
    }

    fn settle(&mut self, labelled: Labelled<'_>, mut classes: Sheet, geometry: &Geometry) {
        let found = peaks::settle_peaks(labelled.frame, &mut classes);
        self.add(labelled, &classes, &found, geometry);
    }

    fn add(
        &mut self,
        labelled: Labelled<'_>,
        classes: &Sheet,
        found: &[peaks::Peak],
        geometry: &Geometry,
    ) {
        let measured;
        let truth = match labelled.known {
            Some(known) => known,
            None => {
                measured = labelled_truth(labelled.frame, labelled.sheet);
                &measured
            }
        };
        let scene = Scene {
            frame: labelled.frame,
            labels: labelled.sheet,
            geometry,
            truth,
            classes,
            found,
        };
        self.all.add(&scene);
        if has_artifacts(&scene) {
            self.with_artifacts.add(&scene);
        } else {
            self.without_artifacts.add(&scene);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.all.merge(&other.all);
        self.with_artifacts.merge(&other.with_artifacts);
        self.without_artifacts.merge(&other.without_artifacts);
        self.took += other.took;
    }

    pub const fn frames(&self) -> usize {
        self.all.frames
    }

    /// The scores under the names that scripts rely on; the parts beside them.
    pub fn json(&self) -> Value {
        let ms = self.took.as_secs_f64() * 1e3 / self.frames().max(1) as f64;
        let mut all = breakdown_json(&self.all);
        if let Some(all) = all.as_object_mut() {
            all.insert("ms_per_frame".to_owned(), json!(rounded(ms, 4)));
            let parts = [
                ("with_artifacts", &self.with_artifacts),
                ("without_artifacts", &self.without_artifacts),
            ];
            for (name, part) in parts {
                all.insert(name.to_owned(), breakdown_json(part));
            }
        }
        all
    }

    /// The figures of a card.
    pub fn named(&self) -> Vec<(&'static str, f64)> {
        let peaks = self.all.peaks.score();
        let pixels = &self.all.pixels;
        [
            ("held_out_frames", Some(self.frames() as f64)),
            ("peak_f1", peaks.f1),
            ("peak_precision", peaks.precision),
            ("peak_recall", peaks.recall),
            ("peak_centroid_error_px", peaks.centroid_error_px),
            (
                "peak_centroid_error_median_px",
                peaks.centroid_error_median_px,
            ),
            ("held_out_peak_pixel_f1", pixels.score(Class::Peak).f1),
            ("artifact_iou", pixels.score(Class::Artifact).iou),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

fn breakdown_json(scores: &Breakdown) -> Value {
    let mut classes = serde_json::Map::new();
    for class in [Class::Background, Class::Peak, Class::Artifact] {
        let score = scores.pixels.score(class);
        let told = json!({
            "precision": short(score.precision),
            "recall": short(score.recall),
            "f1": short(score.f1),
            "iou": short(score.iou),
        });
        classes.insert(class.name().to_owned(), told);
    }
    let by_radius = parts_json(&scores.radii, &RADIUS_EDGES_PX, "radius_px");
    let mut shells = parts_json(&scores.shells, &SHELL_EDGES_ANGSTROM, "d_angstrom");
    shells.extend(by_radius);
    let (blanks, clean) = (&scores.blanks, &scores.clean);
    let mean = |sum: u64, count: u64| (count > 0).then(|| sum as f64 / count as f64);
    let of_clean = |value: Value| if clean.frames > 0 { value } else { Value::Null };
    json!({
        "classes": classes,
        "peaks": peak_json(&scores.peaks),
        "frames": scores.frames,
        "shells": shells,
        "snr": parts_json(&scores.snr, &SNR_EDGES, "snr"),
        "blanks": {
            "frames": blanks.frames,
            "false_peaks_mean": short(mean(blanks.false_peaks, blanks.frames)),
            "false_peaks_max": (blanks.frames > 0).then_some(blanks.most_in_a_frame),
        },
        "artifact_free": {
            "frames": clean.frames,
            "marked_fraction": short(clean.marked_fraction()),
            "worst_marked_fraction": of_clean(json!(rounded(clean.worst_fraction, 5))),
            "largest_component_px": of_clean(json!(clean.largest_component_px)),
        },
    })
}

/// The parts that have a peak; `name` has their two edges, null where there is none.
fn parts_json(parts: &[Part], edges: &[f32], name: &str) -> Vec<Value> {
    let edge = |edge: &f32| edge.is_finite().then(|| rounded(f64::from(*edge), 4));
    let filled = parts.iter().zip(edges.windows(2));
    let filled = filled.filter(|(part, _)| !part.is_empty());
    filled
        .map(|(part, edges)| {
            json!({
                name: edges.iter().map(edge).collect::<Vec<_>>(),
                "n_true": part.n_true,
                "n_found": part.n_found,
                "recall": short(part.recall()),
                "precision": short(part.precision()),
                "f1": short(part.f1()),
                "centroid_error_px": short(part.centroid_error_px()),
                "centroid_error_median_px": short(part.centroid_error_median_px()),
            })
        })
        .collect()
}

pub fn peak_json(tally: &PeakTally) -> Value {
    let score = tally.score();
    json!({
        "precision": short(score.precision),
        "recall": short(score.recall),
        "f1": short(score.f1),
        "centroid_error_px": short(score.centroid_error_px),
        "centroid_error_median_px": short(score.centroid_error_median_px),
        "n_true": score.n_true,
        "n_left_out": score.n_left_out,
        "n_found": score.n_found,
        "chance": short(score.chance),
    })
}

pub fn short(value: Option<f64>) -> Option<f64> {
    value.map(|value| rounded(value, 5))
}
