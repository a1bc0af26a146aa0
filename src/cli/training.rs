//! Where training frames come from: sets, the simulator, or a mixture; and what the finished net is judged on.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::{Value, json};

use super::judge::Judge;
use super::output::{progress, rounded, speak};
use super::{Failure, simulate};
use crate::domain::simulate::{Detector, Recipe, simulate as make};
use crate::io::set::{Set, Split, open_set};
use crate::net::card::SetNote;
use crate::net::train::{Labelled, Sampler, TrainingData};
use crate::net::{DeviceChoice, Net};

/// At most so many frames of the sets validate: each is predicted after every epoch.
const MOST_VALIDATION: usize = 24;
/// Edge of simulated validation windows.
const WINDOW: usize = 480;
/// Seeds of frames that no training sees: training seeds have their highest bit clear.
const VALIDATION_SEED: u64 = 1 << 63;
const HELD_OUT_SEED: u64 = (1 << 63) + (1 << 40);
/// The detectors that validation and held-out frames are of, and how many frames of each are held out.
const DETECTORS: [&str; 6] = [
    "rayonix",
    "eiger4m",
    "jungfrau",
    "cspad",
    "pilatus1m",
    "ccd",
];

/// Something that simulated training frames do not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaveOut {
    Detector(String),
    Artifact(String),
}

impl FromStr for LeaveOut {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const KINDS: [&str; 6] = ["rings", "powder", "ice", "lipid", "jet", "salt"];
        if Detector::NAMES.contains(&text) {
            Ok(Self::Detector(text.to_owned()))
        } else if KINDS.contains(&text) {
            Ok(Self::Artifact(text.to_owned()))
        } else {
            let known = [&KINDS[..], &Detector::NAMES[..]].concat();
            Err(format!("write some of {}", known.join(", ")))
        }
    }
}

/// What to train on.
pub struct Source {
    pub sets: Vec<Set>,
    /// Share of simulated frames, 0 to 1.
    pub replay: f64,
    pub leave_out: Vec<LeaveOut>,
    pub patch: usize,
    pub seed: u64,
}

pub fn open_sets(paths: &[PathBuf]) -> Result<Vec<Set>, Failure> {
    let sets = paths.iter().map(open_set).collect::<Result<Vec<_>, _>>()?;
    match sets.iter().find(|set| set.is_empty()) {
        Some(set) => Err(Failure::could_not(format!(
            "the set has no frames; export one from a project: {}",
            set.path().display()
        ))),
        None => Ok(sets),
    }
}

impl Source {
    /// The frames of the sets with a split, as (set, frame), at most `most` of them, evenly taken.
    fn frames_of(&self, split: Split, most: usize) -> Vec<(usize, usize)> {
        let all: Vec<(usize, usize)> = self
            .sets
            .iter()
            .enumerate()
            .flat_map(|(set, source)| {
                let splits = source.splits().iter().enumerate();
                splits
                    .filter(move |(_, s)| **s == split)
                    .map(move |(frame, _)| (set, frame))
            })
            .collect();
        let step = all.len().div_ceil(most).max(1);
        all.into_iter().step_by(step).collect()
    }

    /// What the finished net will be judged on.
    pub fn held_out(&self) -> HeldOut {
        HeldOut {
            frames: self
                .frames_of(Split::HeldOut, MOST_VALIDATION)
                .into_iter()
                .filter_map(|(set, frame)| Some((self.sets.get(set)?.path().to_owned(), frame)))
                .collect(),
            simulated: self.sets.is_empty(),
        }
    }

    pub fn into_data(self) -> Result<TrainingData, Failure> {
        let training = self.frames_of(Split::Train, usize::MAX);
        if training.is_empty() && self.replay < 1.0 {
            return Err(Failure::could_not(
                "the sets have no frame to train on (all validate or are held out); export more frames",
            ));
        }
        let mut validation = Vec::new();
        for (set, frame) in self.frames_of(Split::Validation, MOST_VALIDATION) {
            if let Some(set) = self.sets.get(set) {
                validation.push(from_set(set, frame).map_err(Failure::could_not)?);
            }
        }
        if self.sets.is_empty() {
            validation = simulated_validation();
        } else if validation.is_empty() {
            speak(
                "the sets have no validation frames: the training loss decides which net is kept",
            );
        }
        let mut sets: Vec<SetNote> = self
            .sets
            .iter()
            .map(|set| SetNote {
                name: set.path().display().to_string(),
                digest: set.digest().to_owned(),
                frames: set.len(),
            })
            .collect();
        let mut licence = String::from("as of the sets it was trained on");
        if self.replay > 0.0 {
            let without = if self.leave_out.is_empty() {
                String::new()
            } else {
                format!(", without {:?}", self.leave_out)
            };
            sets.push(SetNote {
                name: format!(
                    "simulated by peaknet {}{without}",
                    env!("CARGO_PKG_VERSION")
                ),
                digest: format!("seed {}", self.seed),
                frames: 0,
            });
            licence = if self.sets.is_empty() {
                "simulated frames only: nobody else's rights".to_owned()
            } else {
                format!("{licence}; simulated frames beside them")
            };
        }
        Ok(TrainingData {
            sample: self.sampler(training),
            validation,
            sets,
            licence,
        })
    }

    fn sampler(self, training: Vec<(usize, usize)>) -> Sampler {
        Box::new(move |seed| {
            let choice = mixed(seed);
            let is_simulated = (choice >> 11) as f64 / (1_u64 << 53) as f64 <= self.replay;
            if is_simulated && self.replay > 0.0 {
                return Ok(patch(seed, self.patch, &self.leave_out));
            }
            let index = mixed(choice) % training.len().max(1) as u64;
            let (set, frame) = training.get(index as usize).ok_or("no frame to train on")?;
            from_set(self.sets.get(*set).ok_or("no such set")?, *frame)
        })
    }
}

fn from_set(set: &Set, frame: usize) -> Result<Labelled, String> {
    let read = set.read(frame).map_err(|error| error.to_string())?;
    Ok(Labelled {
        frame: read.frame,
        sheet: read.sheet,
    })
}

/// A simulated training patch; what is left out is looked for with the next seeds.
fn patch(seed: u64, side: usize, leave_out: &[LeaveOut]) -> Labelled {
    let mut seed = seed >> 1;
    let mut recipe = Recipe::random_patch(seed, side, side);
    while leave_out.contains(&LeaveOut::Detector(recipe.detector.name.clone())) {
        seed = mixed(seed) >> 1;
        recipe = Recipe::random_patch(seed, side, side);
    }
    for left_out in leave_out {
        let LeaveOut::Artifact(kind) = left_out else {
            continue;
        };
        let artifacts = &mut recipe.artifacts;
        match kind.as_str() {
            "rings" => artifacts.rings = 0.0,
            "powder" => artifacts.powder = 0.0,
            "ice" => artifacts.ice = 0.0,
            "lipid" => artifacts.lipid = 0.0,
            "jet" => artifacts.jet = 0.0,
            _ => artifacts.salt = 0.0,
        }
    }
    let simulated = make(&recipe, seed, 0);
    Labelled {
        frame: simulated.frame,
        sheet: simulated.sheet,
    }
}

/// Windows of named detectors, the same for every training, so that nets can be compared.
fn simulated_validation() -> Vec<Labelled> {
    let mut frames = Vec::new();
    for name in DETECTORS {
        let Some(whole) = Recipe::named(name) else {
            continue;
        };
        for number in 0..2_u64 {
            // One window beside the middle, one in a corner of the detector.
            let place = |length: usize| match number {
                0 => (length / 2).saturating_sub(WINDOW / 4),
                _ => length.saturating_sub(WINDOW),
            };
            let (left, top) = (
                place(whole.detector.width) as i64,
                place(whole.detector.height) as i64,
            );
            let recipe = Recipe {
                detector: whole.detector.window(left, top, WINDOW, WINDOW),
                hit_rate: 1.0,
                ..whole.clone()
            };
            let simulated = make(&recipe, VALIDATION_SEED + number, frames.len());
            frames.push(Labelled {
                frame: simulated.frame,
                sheet: simulated.sheet,
            });
        }
    }
    frames
}

/// Frames that the training did not see.
pub struct HeldOut {
    frames: Vec<(PathBuf, usize)>,
    simulated: bool,
}

impl HeldOut {
    /// Judges the finished net and writes the scores to its card; null where nothing is held out.
    pub fn score(&self, net: &Path, device: DeviceChoice) -> Result<Value, Failure> {
        if self.frames.is_empty() && !self.simulated {
            return Ok(Value::Null);
        }
        let loaded = Net::load(net, device)?;
        let mut judge = Judge::default();
        let bar = progress(self.frames.len() + DETECTORS.len(), "held-out frames");
        for (path, frame) in &self.frames {
            let read = open_set(path)?.read(*frame)?;
            judge.look(&loaded, &read.frame, &read.sheet, None)?;
            bar.inc(1);
        }
        if self.simulated {
            for (number, name) in DETECTORS.into_iter().enumerate() {
                let recipe = Recipe {
                    hit_rate: 1.0,
                    ..simulate::named(name)?
                };
                let simulated = make(&recipe, HELD_OUT_SEED, number);
                judge.look(
                    &loaded,
                    &simulated.frame,
                    &simulated.sheet,
                    Some(&simulated.peaks),
                )?;
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        let scores = judge.json();
        let mut card = loaded.card().clone();
        for (name, value) in judge.named() {
            card.scores.insert(name.to_owned(), rounded(value, 4));
        }
        card.store(net)?;
        Ok(json!({ "frames": judge.frames(), "scores": scores }))
    }
}

/// splitmix64: a number that has nothing to do with its neighbours.
const fn mixed(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
