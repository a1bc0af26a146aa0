//! `peaknet score`: a net against labelled frames, or one peak list against another.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::arguments::{NetArguments, fraction};
use super::output::{line, progress, rounded};
use super::{Failure, Outcome, nets};
use crate::domain::frame::{Frame, bad};
use crate::domain::labels::{Class, Sheet};
use crate::domain::matching::{PeakScore, Wanted};
use crate::domain::peaks::{self, Peak};
use crate::domain::simulate::TruePeak;
use crate::io::peak_list::read_peaks;
use crate::io::set::{Split, open_set};
use crate::net::Net;

/// Found and true belong together within so many pixels.
const RADIUS_PX: f32 = 2.0;
/// SNR up to which a peak is doubtful: labels rule.
const DOUBT_SNR: f32 = 6.0;

#[derive(Args, Debug)]
pub struct ScoreArguments {
    /// Labelled frames: SET.h5, or a simulated RUN.cxi
    #[arg(
        long,
        value_name = "SET.h5",
        required_unless_present = "peaks",
        conflicts_with = "peaks"
    )]
    set: Option<PathBuf>,
    #[command(flatten)]
    net: NetArguments,
    /// Which frames of the set
    #[arg(long, value_enum, default_value = "all")]
    split: SplitName,
    /// Probability from which a pixel is a peak [default: the net's own]
    #[arg(long, value_name = "P", value_parser = fraction)]
    threshold: Option<f64>,
    /// A peak list to judge
    #[arg(long, value_name = "A.cxi", requires = "against")]
    peaks: Option<PathBuf>,
    /// The peak list that is taken for true
    #[arg(long, value_name = "B.cxi", requires = "peaks")]
    against: Option<PathBuf>,
    /// Exit code 1 where the F1 of the peaks is below this
    #[arg(long, value_name = "F1", value_parser = fraction)]
    min: Option<f64>,
    /// One JSON value (as without it)
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SplitName {
    All,
    Train,
    Validation,
    HeldOut,
}

impl SplitName {
    fn takes(self, split: Split) -> bool {
        match self {
            Self::All => true,
            Self::Train => split == Split::Train,
            Self::Validation => split == Split::Validation,
            Self::HeldOut => split == Split::HeldOut,
        }
    }
}

pub fn run(arguments: &ScoreArguments) -> Outcome {
    let f1 = match (&arguments.set, &arguments.peaks, &arguments.against) {
        (Some(set), ..) => against_set(arguments, set)?,
        (None, Some(list), Some(truth)) => against_list(list, truth)?,
        _ => {
            return Err(Failure::could_not(
                "give --set SET.h5, or --peaks A.cxi and --against B.cxi",
            ));
        }
    };
    match arguments.min {
        Some(min) if f1.is_none_or(|f1| f1 < min) => Err(Failure::Problems(Some(format!(
            "peak F1 {:.4} is below {min}",
            f1.unwrap_or(0.0)
        )))),
        _ => Ok(()),
    }
}

fn against_set(arguments: &ScoreArguments, path: &Path) -> Result<Option<f64>, Failure> {
    let set = open_set(path)?;
    let frames: Vec<usize> = (0..set.len())
        .filter(|i| {
            set.splits()
                .get(*i)
                .is_some_and(|split| arguments.split.takes(*split))
        })
        .collect();
    if frames.is_empty() {
        return Err(Failure::could_not(format!(
            "the set has no such frames; give another --split: {}",
            path.display()
        )));
    }
    // A simulated run knows its peaks better than its labels do.
    let truth = read_peaks(path)
        .ok()
        .filter(|lists| lists.len() == set.len());
    let net = nets::load(&arguments.net)?;
    let threshold = arguments.threshold.map(|p| p as f32);
    let mut judge = Judge::default();
    let bar = progress(frames.len(), "scoring");
    for number in frames {
        let read = set.read(number)?;
        let known = truth.as_ref().and_then(|lists| lists.get(number));
        let known = known.map(|list| list.iter().map(wanted).collect());
        judge.frame(&net, &read.frame, &read.sheet, known, threshold)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    line(judge.json())?;
    Ok(judge.peaks.f1())
}

fn against_list(list: &Path, truth: &Path) -> Result<Option<f64>, Failure> {
    let (found, truth_lists) = (read_peaks(list)?, read_peaks(truth)?);
    if found.len() != truth_lists.len() {
        return Err(Failure::could_not(format!(
            "the lists have {} and {} frames; give two lists of the same run: {}",
            found.len(),
            truth_lists.len(),
            list.display()
        )));
    }
    let mut score = PeakScore::default();
    for (found, truth) in found.iter().zip(&truth_lists) {
        let wanted: Vec<Wanted> = truth.iter().map(wanted).collect();
        score.add(&wanted, found, RADIUS_PX, |_| false);
    }
    line(json!({ "peaks": peak_json(&score), "frames": found.len() }))?;
    Ok(score.f1())
}

/// A peak of a list that is taken for true; one without an SNR (0) is taken at its word.
fn wanted(peak: &Peak) -> Wanted {
    Wanted {
        x: peak.x,
        y: peak.y,
        doubtful: peak.snr > 0.0 && peak.snr <= DOUBT_SNR,
    }
}

/// Adds up what a net says of labelled frames.
#[derive(Debug, Default)]
pub struct Judge {
    /// True class, found class: pixels.
    pixels: [[u64; 3]; 3],
    peaks: PeakScore,
    pub frames: usize,
    took: Duration,
}

impl Judge {
    /// Predicts a frame and compares; without known peaks they are measured on the labels.
    pub fn look(
        &mut self,
        net: &Net,
        frame: &Frame,
        sheet: &Sheet,
        known: Option<&[TruePeak]>,
    ) -> Result<(), Failure> {
        let known = known.map(|peaks| {
            peaks
                .iter()
                .map(|peak| Wanted {
                    x: peak.x,
                    y: peak.y,
                    doubtful: peak.snr <= DOUBT_SNR,
                })
                .collect()
        });
        self.frame(net, frame, sheet, known, None)
    }

    fn frame(
        &mut self,
        net: &Net,
        frame: &Frame,
        sheet: &Sheet,
        known: Option<Vec<Wanted>>,
        threshold: Option<f32>,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        let predictions = net.predict(&[frame], threshold)?;
        self.took += start.elapsed();
        self.frames += 1;
        for prediction in &predictions {
            self.count(frame, sheet, &prediction.classes);
            let found = peaks::measure_peaks(frame, &prediction.classes);
            let wanted = known.clone().unwrap_or_else(|| {
                let labelled = peaks::measure_peaks(frame, sheet);
                labelled
                    .iter()
                    .map(|peak| Wanted {
                        x: peak.x,
                        y: peak.y,
                        doubtful: false,
                    })
                    .collect()
            });
            self.peaks.add(&wanted, &found, RADIUS_PX, |peak| {
                let class = sheet.get(peak.x as usize, peak.y as usize);
                class == Some(&Class::Ignore.code())
            });
        }
        Ok(())
    }

    fn count(&mut self, frame: &Frame, truth: &Sheet, found: &Sheet) {
        let classes = truth.cells().iter().zip(found.cells());
        for (bits, (truth, found)) in frame.bad.cells().iter().zip(classes) {
            if bits & bad::NOT_VALID == 0
                && let Some(row) = self.pixels.get_mut(usize::from(*truth))
                && let Some(count) = row.get_mut(usize::from(*found))
            {
                *count += 1;
            }
        }
    }

    /// Precision, recall, F1 and intersection over union of a class; `None` where there is nothing to divide by.
    fn class(&self, class: Class) -> [Option<f64>; 4] {
        let at = usize::from(class.code());
        let of = |truth: usize, found: usize| {
            self.pixels
                .get(truth)
                .and_then(|row| row.get(found))
                .copied()
                .unwrap_or(0) as f64
        };
        let hit = of(at, at);
        let extra: f64 = (0..3)
            .filter(|truth| *truth != at)
            .map(|truth| of(truth, at))
            .sum();
        let missed: f64 = (0..3)
            .filter(|found| *found != at)
            .map(|found| of(at, found))
            .sum();
        let part = |a: f64, b: f64| (b > 0.0).then(|| a / b);
        [
            part(hit, hit + extra),
            part(hit, hit + missed),
            part(2.0 * hit, 2.0 * hit + extra + missed),
            part(hit, hit + extra + missed),
        ]
    }

    /// The scores under the names that scripts rely on.
    pub fn json(&self) -> Value {
        let mut classes = serde_json::Map::new();
        for class in [Class::Background, Class::Peak, Class::Artifact] {
            let [precision, recall, f1, iou] = self.class(class).map(short);
            let scores = json!({ "precision": precision, "recall": recall, "f1": f1, "iou": iou });
            classes.insert(class.name().to_owned(), scores);
        }
        let ms = self.took.as_secs_f64() * 1e3 / self.frames.max(1) as f64;
        json!({
            "classes": classes,
            "peaks": peak_json(&self.peaks),
            "frames": self.frames,
            "ms_per_frame": rounded(ms, 4),
        })
    }

    /// The figures of a card.
    pub fn named(&self) -> Vec<(&'static str, f64)> {
        let [_, _, pixel_f1, _] = self.class(Class::Peak);
        let [_, _, _, artifact_iou] = self.class(Class::Artifact);
        [
            ("held_out_frames", Some(self.frames as f64)),
            ("peak_f1", self.peaks.f1()),
            ("peak_precision", self.peaks.precision()),
            ("peak_recall", self.peaks.recall()),
            ("peak_centroid_error_px", self.peaks.centroid_error_px()),
            ("held_out_peak_pixel_f1", pixel_f1),
            ("artifact_iou", artifact_iou),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

fn peak_json(score: &PeakScore) -> Value {
    json!({
        "precision": short(score.precision()),
        "recall": short(score.recall()),
        "f1": short(score.f1()),
        "centroid_error_px": short(score.centroid_error_px()),
        "n_true": score.n_true,
        "n_found": score.n_found,
        "chance": short(score.chance()),
    })
}

fn short(value: Option<f64>) -> Option<f64> {
    value.map(|value| rounded(value, 5))
}
