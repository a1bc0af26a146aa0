//! `peaknet score`: a net or finder against labelled frames, or one peak list against another or against a stream.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::ValueEnum;
use serde_json::{Value, json};

use super::arguments::{NetArguments, fraction, positive};
use super::finder::{FinderArguments, FinderName};
use super::judge::{Judge, Labelled, Place, Subject, peak_json, short};
use super::output::{line, progress};
use super::{Failure, Outcome, nets};
use crate::domain::geometry::Geometry;
use crate::domain::listed::Listed;
use crate::domain::near_truth::{NearTruth, NearTruthOptions};
use crate::domain::peaks::Peak;
use crate::domain::score::{PeakTally, Truth, positions};
use crate::io::peak_list::read_peaks;
use crate::io::set::{Set, Split, open_set};
use crate::io::stream::listed_by_row;
use crate::io::{OpenOptions, open_run};

#[derive(Args, Debug)]
pub struct ScoreArguments {
    /// Labelled frames: SET.h5, or a simulated RUN.cxi; several are added up and told one by one too
    #[arg(
        long,
        value_name = "SET.h5",
        num_args = 1..,
        required_unless_present = "peaks",
        conflicts_with = "peaks"
    )]
    set: Vec<PathBuf>,
    #[command(flatten)]
    net: NetArguments,
    /// What finds the peaks of the set: the net, or a classical finder
    #[arg(long, value_enum, default_value = "net")]
    finder: FinderName,
    #[command(flatten)]
    classical: FinderArguments,
    /// The detector geometry of the set, for shells of resolution [default: the .geom beside it, else what it says itself]
    #[arg(long, value_name = "FILE", requires = "set")]
    geometry: Option<PathBuf>,
    /// Which frames of the set
    #[arg(long, value_enum, default_value = "all")]
    split: SplitName,
    /// Probability from which a pixel is a peak [default: where peak is the most probable class]
    #[arg(long, value_name = "P", value_parser = fraction)]
    threshold: Option<f64>,
    /// A peak list to judge; true peaks below SNR 6 (peakSNR of the other list) count neither for nor against, as the labelling rule says
    #[arg(long, value_name = "A.cxi", requires = "against")]
    peaks: Option<PathBuf>,
    /// The peak list that is taken for true, or the CrystFEL stream whose integrated reflections must have peaks
    #[arg(long, value_name = "B.cxi|X.stream", requires = "peaks")]
    against: Option<PathBuf>,
    /// With a stream: reflections with more than so many sigmas must have a peak
    #[arg(long, value_name = "SIGMAS", default_value_t = 5.0, value_parser = positive)]
    i_over_sigma: f64,
    /// With a stream: how near a peak and a reflection belong together
    #[arg(long, value_name = "PX", default_value_t = 3.0, value_parser = positive)]
    within: f64,
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
    let f1 = match (&arguments.peaks, &arguments.against) {
        (Some(list), Some(truth)) if is_stream(truth) => {
            if arguments.min.is_some() {
                return Err(Failure::could_not(
                    "a stream gives no F1, because a peak without a reflection need not be false; leave out --min",
                ));
            }
            let options = NearTruthOptions {
                i_over_sigma: arguments.i_over_sigma as f32,
                within_px: arguments.within as f32,
            };
            return against_stream(list, truth, options);
        }
        (Some(list), Some(truth)) => against_list(list, truth)?,
        _ if !arguments.set.is_empty() => against_sets(arguments)?,
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

fn against_sets(arguments: &ScoreArguments) -> Result<Option<f64>, Failure> {
    let sets = (arguments.set.iter().map(open_set)).collect::<Result<Vec<_>, _>>()?;
    let chosen: Vec<Vec<usize>> = sets
        .iter()
        .map(|set| frames_of(set, arguments.split))
        .collect();
    if let Some((set, _)) = (sets.iter().zip(&chosen)).find(|(_, frames)| frames.is_empty()) {
        return Err(Failure::could_not(format!(
            "the set has no such frames; give another --split: {}",
            set.path().display()
        )));
    }
    let subject = match arguments.classical.finder(arguments.finder) {
        Some(finder) => Subject::Finder(finder),
        None => Subject::Net {
            net: Box::new(nets::load(&arguments.net)?),
            threshold: arguments.threshold.map(|p| p as f32),
        },
    };
    let mut total = Judge::default();
    let mut each = Vec::new();
    let bar = progress(chosen.iter().map(Vec::len).sum(), "scoring");
    for (set, frames) in sets.iter().zip(chosen) {
        let path = set.path();
        // A simulated run knows its peaks better than its labels do.
        let truth = read_peaks(path)
            .ok()
            .filter(|lists| lists.len() == set.len());
        let geometry = geometry_of(path, arguments.geometry.as_deref())?;
        let place = Place::new(geometry, set.width(), set.height());
        let mut judge = Judge::default();
        for number in frames {
            let read = set.read(number)?;
            let known = truth.as_ref().and_then(|lists| lists.get(number));
            let known = known.map(|list| list.iter().map(truth_of).collect::<Vec<_>>());
            let labelled = Labelled {
                frame: &read.frame,
                sheet: &read.sheet,
                known: known.as_deref(),
            };
            judge.frame(&subject, &place, labelled)?;
            bar.inc(1);
        }
        if sets.len() > 1 {
            let mut told = judge.json();
            if let Some(told) = told.as_object_mut() {
                told.insert("set".to_owned(), json!(path));
            }
            each.push(told);
        }
        total.merge(&judge);
    }
    bar.finish_and_clear();
    let mut told = total.json();
    if let Some(told) = told.as_object_mut() {
        told.insert("finder".to_owned(), json!(subject.name()));
        if !each.is_empty() {
            told.insert("sets".to_owned(), Value::Array(each));
        }
    }
    line(told)?;
    Ok(total.all.peaks.score().f1)
}

fn frames_of(set: &Set, split: SplitName) -> Vec<usize> {
    let splits = set.splits().iter().enumerate();
    splits
        .filter(|(_, of)| split.takes(**of))
        .map(|(number, _)| number)
        .collect()
}

/// Where the pixels of a set are: by the named geometry, the .geom beside the set, or the set itself; unknown where none says.
fn geometry_of(set: &Path, named: Option<&Path>) -> Result<Geometry, Failure> {
    let beside = set.with_extension("geom");
    let geometry = match named {
        Some(path) => Some(path.to_owned()),
        None => beside.is_file().then_some(beside),
    };
    let options = OpenOptions {
        geometry,
        ..OpenOptions::default()
    };
    match open_run(&[set.to_owned()], &options) {
        Ok(run) => Ok(run.info.geometry),
        Err(error) if named.is_some() => Err(error.into()),
        // Only shells need it, and distances from the middle of the frame stand in.
        Err(_) => Ok(Geometry::default()),
    }
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

fn truth_of(peak: &Peak) -> Truth {
    Truth::of_snr(peak.x, peak.y, peak.snr)
}

fn is_stream(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("stream"))
}

/// Tells of each frame and of all how found peaks and integrated reflections meet.
fn against_stream(list: &Path, stream: &Path, options: NearTruthOptions) -> Outcome {
    let found = read_peaks(list)?;
    let by_name = listed_by_name(list, stream, found.len());
    let listed = match by_name {
        Some(listed) => listed,
        None => listed_by_row(stream, found.len())?,
    };
    let mut total = NearTruth::default();
    let mut frames = Vec::new();
    let mut unindexed_peaks = 0;
    for (number, (found, listed)) in found.iter().zip(&listed).enumerate() {
        let is_indexed = listed.as_ref().is_some_and(|l| !l.predicted.is_empty());
        let predicted = listed.as_ref().map_or(&[][..], |listed| &listed.predicted);
        let counts = NearTruth::of(predicted, &positions(found), options);
        let mut told = if is_indexed {
            total.merge(&counts);
            near_json(&counts)
        } else {
            unindexed_peaks += found.len();
            json!({ "n_found": found.len() })
        };
        if let Some(told) = told.as_object_mut() {
            told.insert("frame".to_owned(), json!(number));
            told.insert("indexed".to_owned(), json!(is_indexed));
        }
        frames.push(told);
    }
    line(json!({
        "reflections": near_json(&total),
        "frames": frames,
        "unindexed_peaks": unindexed_peaks,
        "i_over_sigma": options.i_over_sigma,
        "within_px": options.within_px,
    }))
}

/// What the stream says of the frames behind the list, by the names of their files; `None` where it names none of them.
fn listed_by_name(list: &Path, stream: &Path, rows: usize) -> Option<Vec<Option<Listed>>> {
    let options = OpenOptions {
        peaks: Some(stream.to_owned()),
        ..OpenOptions::default()
    };
    let run = open_run(&[list.to_owned()], &options).ok()?;
    let listed: Vec<_> = (0..rows)
        .map(|number| run.listed(number).ok().flatten())
        .collect();
    let knows_one = listed.iter().any(Option::is_some);
    (knows_one && run.info.frames == rows).then_some(listed)
}

fn near_json(counts: &NearTruth) -> Value {
    json!({
        "recall": short(counts.recall()),
        "n_strong": counts.n_strong,
        "n_seen": counts.n_seen,
        "share": short(counts.explained()),
        "n_found": counts.n_found,
        "n_explained": counts.n_explained,
        "chance_recall": short(counts.chance_recall()),
        "chance_share": short(counts.chance_explained()),
    })
}
