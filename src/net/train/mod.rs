//! The visible training loop: seeded patches, focal loss, AdamW, a schedule, the best validation kept; stops and goes on.

pub mod checkpoint;
pub mod config;
pub mod feed;
pub mod judge;
pub mod optimizer;
mod run;
pub mod schedule;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use candle_core::DType;

use self::checkpoint::Progress;
pub use self::config::{Precision, Schedule, TrainConfig};
use self::feed::Feed;
use self::judge::Judged;
use self::optimizer::{AdamW, Settings};
use self::run::{Run, could_not_compute, unreadable};
use self::schedule::Plateau;
use super::card::{Card, SetNote};
use super::standardise::Standardisation;
use super::{Error, declare, open_device, save, start_from, tensors_of};
use crate::domain::frame::Frame;
use crate::domain::labels::Sheet;

/// A frame with its labels.
#[derive(Clone, Debug)]
pub struct Labelled {
    pub frame: Frame,
    pub sheet: Sheet,
}

/// Gives the labelled frame that a seed stands for: simulated, or drawn from a set.
pub type Sampler = Box<dyn Fn(u64) -> Result<Labelled, String> + Send + Sync>;

/// What a net is trained and judged on.
pub struct TrainingData {
    pub sample: Sampler,
    pub validation: Vec<Labelled>,
    pub sets: Vec<SetNote>,
    pub licence: String,
}

/// One look at the validation frames.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Validation {
    pub epoch: usize,
    pub step: usize,
    /// Mean training loss since the last validation.
    pub loss: f64,
    pub validation_loss: f64,
    /// F1 of pixels of class peak.
    pub peak_f1: f64,
    pub artifact_iou: f64,
    pub seconds: f64,
    /// Patches a second since the last validation, without the validation itself.
    pub samples_per_second: f64,
    /// Share of that time in which the device waited for patches.
    pub waited: f64,
    /// Mean norm of the gradient before it was clipped.
    pub gradient_norm: f64,
    pub learning_rate: f64,
}

/// How a training begins and ends.
pub struct Course<'a> {
    /// The folder of the net to start from.
    pub parent: Option<&'a Path>,
    /// The folder of the new net.
    pub out: &'a Path,
    /// Whether an existing net there may be replaced.
    pub replace: bool,
    /// Whether to go on with the training of `out` that was stopped.
    pub resume: bool,
    /// Set from outside: the training ends after the step that it is in.
    pub stop: &'a AtomicBool,
}

/// Trains and writes the net folder, which appears whole, when the training has ended or was stopped.
///
/// After each epoch the whole state lies beside it (`OUT.checkpoint`): a training that was stopped goes on from there, on a CPU to
/// the same bits as one that was not. It is removed when the training has used its budget.
/// Errors: data that cannot be read, a device that is not there, a disk that is full.
pub fn train(
    data: TrainingData,
    config: &TrainConfig,
    course: &Course<'_>,
    report: &mut dyn FnMut(&Validation),
) -> Result<Card, Error> {
    let out = course.out;
    let said = |error: candle_core::Error| could_not_compute(&error, out);
    let device = open_device(config.device)?;
    let parent_card = course.parent.map(Card::load).transpose()?;
    let parents = parent_card.as_ref().and_then(|c| c.architecture().ok());
    let net = config.architecture.clone().or(parents).unwrap_or_default();
    let of_parent = parent_card
        .as_ref()
        .and_then(|card| Standardisation::named(&card.standardisation));
    let way = config.standardisation.or(of_parent).unwrap_or_default();
    let config = &TrainConfig {
        standardisation: Some(way),
        ..config.clone()
    };
    let step = net.step();
    if !config.patch.is_multiple_of(step) || config.patch < 2 * step {
        return Err(Error::new(
            format!(
                "the patch must be a multiple of {step} pixels, at least {}",
                2 * step
            ),
            out,
        ));
    }
    let mut parameters = match (course.parent, &parent_card) {
        (Some(folder), Some(card)) => start_from(folder, card, &net, config.seed, &device)?.0,
        _ => declare(&net, config.seed, DType::F32, &device).map_err(said)?,
    };
    let settings = Settings {
        weight_decay: config.weight_decay,
        clip: config.clip,
        average: config.average,
    };
    let mut optimizer = AdamW::new(&parameters, settings).map_err(said)?;
    let mut run = Run {
        config,
        net: &net,
        device: &device,
        out,
        parent: parent_card.as_ref(),
        sets: &data.sets,
        licence: &data.licence,
        start: Instant::now(),
        progress: Progress {
            epoch: 0,
            steps: 0,
            seconds: 0.0,
            plateau: Plateau::default(),
            best: None,
        },
        best: None,
    };
    if course.resume {
        (run.progress, run.best) = checkpoint::read(
            out,
            &run.identity(),
            &mut parameters,
            &mut optimizer,
            &device,
        )?;
    }
    let validation: Vec<Judged> = data
        .validation
        .iter()
        .map(|labelled| Judged::new(labelled, step, way))
        .collect();
    let feed = Feed::start(data.sample, config, run.progress.steps);
    let feed = feed.map_err(|why| unreadable(&why, out))?;
    run.epochs(
        &mut parameters,
        &mut optimizer,
        feed,
        &validation,
        course.stop,
        report,
    )?;
    let best = match run.best.take() {
        Some(tensors) => tensors,
        None => tensors_of(&optimizer.to_keep(&parameters).map_err(said)?).map_err(said)?,
    };
    let scores = run.progress.best.unwrap_or_default();
    let card = Card {
        epochs: run.progress.epoch,
        steps: run.progress.steps,
        ..run.card(out, &scores)
    };
    let card = save(&best, &card, out, course.replace || course.resume)?;
    // What a training that was killed would have left is not needed any more.
    let _ = std::fs::remove_dir_all(partial(out));
    if run.used(run.progress.steps) >= 1.0 {
        let _ = std::fs::remove_file(checkpoint::path_of(out));
    }
    Ok(card)
}

/// Where the best net so far lies while the training runs, for the case that it is killed.
pub fn partial(out: &Path) -> PathBuf {
    beside(out, ".partial")
}

/// The path of `out` with something after its name.
fn beside(out: &Path, suffix: &str) -> PathBuf {
    let mut name = out
        .file_name()
        .map(std::ffi::OsStr::to_os_string)
        .unwrap_or_default();
    name.push(suffix);
    out.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use std::sync::atomic::Ordering;

    use super::*;
    use crate::domain::grid::Grid;
    use crate::net::Net;
    use crate::net::{Architecture, DeviceChoice};

    /// Bright dots on noise, labelled.
    fn dots(seed: u64) -> Labelled {
        let side = 64;
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let mut pixels = Grid::from_fn(side, side, |_, _| rng.random_range(0.0_f32..10.0));
        let mut sheet = Sheet::filled(side, side, 0);
        for _ in 0..8 {
            let (x, y) = (rng.random_range(1..side - 1), rng.random_range(1..side - 1));
            for (dx, dy) in [(0, 0), (1, 0), (0, 1)] {
                if let Some(pixel) = pixels.get_mut(x + dx, y + dy) {
                    *pixel += 60.0;
                }
                if let Some(class) = sheet.get_mut(x + dx, y + dy) {
                    *class = 1;
                }
            }
        }
        Labelled {
            frame: Frame::new(0, pixels, Grid::filled(side, side, 0)).unwrap(),
            sheet,
        }
    }

    fn data() -> TrainingData {
        TrainingData {
            sample: Box::new(|seed| Ok(dots(seed))),
            validation: (0..4).map(|i| dots(1 << 40 | i)).collect(),
            sets: Vec::new(),
            licence: "none".to_owned(),
        }
    }

    static NEVER: AtomicBool = AtomicBool::new(false);

    fn course<'a>(out: &'a Path, stop: &'a AtomicBool) -> Course<'a> {
        Course {
            parent: None,
            out,
            replace: false,
            resume: false,
            stop,
        }
    }

    /// A training that is stopped in the middle of an epoch and goes on makes the same net, whatever the threads.
    #[test]
    fn a_stopped_training_goes_on_to_the_same_bits() {
        let folder = tempfile::tempdir().unwrap();
        let config = |threads| TrainConfig {
            architecture: Some(Architecture::plain(&[2, 3])),
            patch: 32,
            batch: 2,
            steps_per_epoch: 5,
            epochs: 4,
            threads,
            ..TrainConfig::default()
        };
        let whole = folder.path().join("whole");
        let card = train(data(), &config(1), &course(&whole, &NEVER), &mut |_| {}).unwrap();
        assert!(!checkpoint::path_of(&whole).exists());
        let parts = folder.path().join("parts");
        let stop = AtomicBool::new(false);
        let stopped = train(data(), &config(3), &course(&parts, &stop), &mut |seen| {
            stop.store(seen.epoch == 2, Ordering::Relaxed);
        });
        assert_eq!(stopped.unwrap().steps, 10);
        let other = TrainConfig {
            learning_rate: 0.5,
            ..config(1)
        };
        let resumed = Course {
            resume: true,
            ..course(&parts, &NEVER)
        };
        let refused = train(data(), &other, &resumed, &mut |_| {}).unwrap_err();
        assert!(refused.to_string().contains("learning_rate"), "{refused}");
        let mut epochs = Vec::new();
        let on = train(data(), &config(2), &resumed, &mut |seen| {
            epochs.push(seen.epoch)
        })
        .unwrap();
        assert_eq!(epochs, [3, 4]);
        assert_eq!(on.weights_digest, card.weights_digest);
        assert!(!checkpoint::path_of(&parts).exists());
    }

    /// Dots are learnt, two trainings from one seed agree to the last bit, and the written net predicts.
    #[test]
    fn a_small_net_learns_dots_and_repeats() {
        let folder = tempfile::tempdir().unwrap();
        let config = TrainConfig {
            architecture: Some(Architecture::plain(&[4, 8, 8])),
            patch: 64,
            batch: 4,
            steps_per_epoch: 20,
            epochs: 5,
            learning_rate: 1e-2,
            anneal: 0.3,
            ..TrainConfig::default()
        };
        let run = |name: &str, epochs: usize| {
            let mut lines = Vec::new();
            let out = folder.path().join(name);
            let config = TrainConfig {
                epochs,
                ..config.clone()
            };
            train(data(), &config, &course(&out, &NEVER), &mut |v| {
                lines.push((v.loss, v.validation_loss, v.peak_f1))
            })
            .unwrap();
            (out, lines)
        };
        let (a, first) = run("a", 5);
        let (_, second) = run("b", 5);
        assert_eq!(first, second);
        let (_, _, f1) = first[first.len() - 1];
        assert!(f1 > 0.8, "peak F1 {f1} after {first:?}");
        let net = Net::load(&a, DeviceChoice::Cpu).unwrap();
        assert_eq!(net.name(), "a");
        let labelled = dots(7);
        let prediction = net
            .predict(&[&labelled.frame], crate::net::predict::Asked::default())
            .unwrap()
            .remove(0);
        let pairs = prediction
            .classes
            .cells()
            .iter()
            .zip(labelled.sheet.cells());
        let agreed = pairs.filter(|(a, b)| **a == 1 && **b == 1).count();
        assert!(agreed >= 16, "{agreed} of 24 peak pixels");
        assert!(
            train(data(), &config, &course(&a, &NEVER), &mut |_| {}).is_err(),
            "an existing net was overwritten"
        );
    }
}
