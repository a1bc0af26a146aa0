//! `peaknet score`: a net against labelled frames, or one peak list against another.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::arguments::{NetArguments, fraction};
use super::output::{line, progress, rounded};
use super::{Failure, Outcome, nets};
use crate::domain::frame::Frame;
use crate::domain::labels::{Class, Sheet};
use crate::domain::peaks::{self, Peak};
use crate::domain::score::{self, Confusion, PeakTally, Truth};
use crate::domain::simulate::TruePeak;
use crate::io::peak_list::read_peaks;
use crate::io::set::{Split, open_set};
use crate::net::Net;

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
    /// A peak list to judge; true peaks below SNR 6 (peakSNR of the other list) count neither for nor against, as the labelling rule says
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
        let known = known.map(|list| list.iter().map(truth_of).collect::<Vec<_>>());
        judge.frame(&net, &read.frame, &read.sheet, known.as_deref(), threshold)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    line(judge.json())?;
    Ok(judge.peaks.score().f1)
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
    let mut tally = PeakTally::default();
    for (found, truth) in found.iter().zip(&truth_lists) {
        let truth: Vec<Truth> = truth.iter().map(truth_of).collect();
        tally.add(&truth, &positions(found));
    }
    line(json!({ "peaks": peak_json(&tally), "frames": found.len() }))?;
    Ok(tally.score().f1)
}

/// A peak of a list that is taken for true; one without an SNR (0) is taken at its word.
fn truth_of(peak: &Peak) -> Truth {
    Truth {
        x: peak.x,
        y: peak.y,
        snr: if peak.snr > 0.0 {
            peak.snr
        } else {
            f32::INFINITY
        },
    }
}

fn positions(peaks: &[Peak]) -> Vec<[f32; 2]> {
    peaks.iter().map(|peak| [peak.x, peak.y]).collect()
}

/// Adds up what a net says of labelled frames.
#[derive(Debug, Default)]
pub struct Judge {
    pixels: Confusion,
    peaks: PeakTally,
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
        let truth = |peak: &TruePeak| Truth {
            x: peak.x,
            y: peak.y,
            snr: peak.snr,
        };
        let known = known.map(|peaks| peaks.iter().map(truth).collect::<Vec<_>>());
        self.frame(net, frame, sheet, known.as_deref(), None)
    }

    fn frame(
        &mut self,
        net: &Net,
        frame: &Frame,
        sheet: &Sheet,
        known: Option<&[Truth]>,
        threshold: Option<f32>,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        let mut predictions = net.predict(&[frame], threshold)?;
        self.took += start.elapsed();
        self.frames += 1;
        for prediction in &mut predictions {
            let mut found = positions(&peaks::settle_peaks(frame, &mut prediction.classes));
            self.pixels.add(sheet, &prediction.classes, &frame.bad);
            let Some(known) = known else {
                self.peaks.add_labelled(frame, sheet, &found);
                continue;
            };
            // On a pixel of class ignore nothing is wrong.
            let places: Vec<[f32; 2]> = known.iter().map(|peak| [peak.x, peak.y]).collect();
            let partners: Vec<usize> = score::matches(&places, &found)
                .iter()
                .map(|pair| pair.1)
                .collect();
            let mut index = 0..;
            found.retain(|[x, y]| {
                let class = sheet.get(x.max(0.0) as usize, y.max(0.0) as usize);
                let has_partner = index.next().is_some_and(|index| partners.contains(&index));
                has_partner || class != Some(&Class::Ignore.code())
            });
            self.peaks.add(known, &found);
        }
        Ok(())
    }

    /// The scores under the names that scripts rely on.
    pub fn json(&self) -> Value {
        let mut classes = serde_json::Map::new();
        for class in [Class::Background, Class::Peak, Class::Artifact] {
            let score = self.pixels.score(class);
            let scores = json!({
                "precision": short(score.precision),
                "recall": short(score.recall),
                "f1": short(score.f1),
                "iou": short(score.iou),
            });
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
        let peaks = self.peaks.score();
        [
            ("held_out_frames", Some(self.frames as f64)),
            ("peak_f1", peaks.f1),
            ("peak_precision", peaks.precision),
            ("peak_recall", peaks.recall),
            ("peak_centroid_error_px", peaks.centroid_error_px),
            ("held_out_peak_pixel_f1", self.pixels.score(Class::Peak).f1),
            ("artifact_iou", self.pixels.score(Class::Artifact).iou),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

fn peak_json(tally: &PeakTally) -> Value {
    let score = tally.score();
    json!({
        "precision": short(score.precision),
        "recall": short(score.recall),
        "f1": short(score.f1),
        "centroid_error_px": short(score.centroid_error_px),
        "n_true": score.n_true,
        "n_left_out": score.n_left_out,
        "n_found": score.n_found,
        "chance": short(score.chance),
    })
}

fn short(value: Option<f64>) -> Option<f64> {
    value.map(|value| rounded(value, 5))
}
