//! The visible training loop: seeded patches, focal loss, AdamW, a schedule, the best validation kept; stops and goes on.

pub mod checkpoint;
pub mod config;
pub mod feed;
pub mod judge;
pub mod optimizer;
pub mod schedule;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};

use self::checkpoint::Progress;
pub use self::config::{Precision, Schedule, TrainConfig};
use self::feed::{Batch, Feed};
use self::judge::{Judged, validate};
use self::optimizer::{AdamW, Settings};
use self::schedule::{Plateau, learning_rate};
use super::card::{Card, SetNote, today};
use super::graph::{Graph, Parameters};
use super::objective::{LossConfig, loss_of};
use super::standardise::Standardisation;
use super::{Architecture, Error, declare, forward, open_device, save, start_from, tensors_of};
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
    let mut name = out
        .file_name()
        .map(std::ffi::OsStr::to_os_string)
        .unwrap_or_default();
    name.push(".partial");
    out.with_file_name(name)
}

fn could_not_compute(error: &candle_core::Error, out: &Path) -> Error {
    let first = error.to_string();
    let first = first.lines().next().unwrap_or_default().to_owned();
    Error::new(
        format!("the training could not compute ({first}); try smaller batches"),
        out,
    )
}

fn unreadable(why: &str, out: &Path) -> Error {
    Error::new(format!("the training data cannot be read ({why})"), out)
}

struct Run<'a> {
    config: &'a TrainConfig,
    net: &'a Architecture,
    device: &'a Device,
    out: &'a Path,
    parent: Option<&'a Card>,
    sets: &'a [SetNote],
    licence: &'a str,
    start: Instant,
    progress: Progress,
    /// The tensors of the best validation so far.
    best: Option<HashMap<String, Tensor>>,
}

/// What a stretch of training saw.
#[derive(Default)]
struct Stretch {
    loss: f64,
    norm: f64,
    steps: usize,
    seconds: f64,
    waited: f64,
    learning_rate: f64,
}

impl Run<'_> {
    fn device_name(&self) -> &'static str {
        if self.device.is_cpu() { "CPU" } else { "CUDA" }
    }

    fn way(&self) -> Standardisation {
        self.config.standardisation.unwrap_or_default()
    }

    /// What must be the same for a stopped training to go on: everything but its length and its threads.
    fn identity(&self) -> String {
        let mut recipe = self.config.recipe(self.device_name());
        recipe.remove("minutes");
        let mut text = format!(
            "seed = {}\narchitecture = {:?}\nstandardisation = {}\n",
            self.config.seed,
            self.net,
            self.way().name()
        );
        for set in self.sets {
            text.push_str(&format!("set = {}\n", set.digest));
        }
        for (key, value) in recipe {
            text.push_str(&format!("{key} = {value}\n"));
        }
        text
    }

    fn card(&self, out: &Path, scores: &Validation) -> Card {
        let score = |name: &str, value: f64| (name.to_owned(), value);
        Card {
            name: out
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
            parent: (self.parent).map(|card| format!("{} {}", card.name, card.weights_digest)),
            seed: self.config.seed,
            epochs: scores.epoch,
            steps: scores.step,
            date: today(),
            licence: self.licence.to_owned(),
            training: self.config.recipe(self.device_name()),
            scores: [
                score("validation_loss", scores.validation_loss),
                score("peak_pixel_f1", scores.peak_f1),
                score("artifact_iou", scores.artifact_iou),
            ]
            .into(),
            sets: self.sets.to_vec(),
            standardisation: self.way().name().to_owned(),
            ..Card::of(self.net)
        }
    }

    fn seconds(&self) -> f64 {
        self.progress.seconds + self.start.elapsed().as_secs_f64()
    }

    /// How much of the budget is used, 0 to 1.
    fn used(&self, steps: usize) -> f64 {
        let by_steps =
            steps as f64 / (self.config.epochs * self.config.steps_per_epoch).max(1) as f64;
        let by_time = self
            .config
            .minutes
            .map_or(0.0, |minutes| self.seconds() / (minutes * 60.0).max(1e-9));
        by_steps.max(by_time)
    }

    fn epochs(
        &mut self,
        parameters: &mut Parameters,
        optimizer: &mut AdamW,
        mut feed: Feed,
        validation: &[Judged],
        stop: &AtomicBool,
        report: &mut dyn FnMut(&Validation),
    ) -> Result<(), Error> {
        let out = self.out;
        let said = |error: candle_core::Error| could_not_compute(&error, out);
        let (begun, seconds_before) = (self.start, self.progress.seconds);
        while self.used(self.progress.steps) < 1.0 && !stop.load(Ordering::Relaxed) {
            let stretch = self.stretch(parameters, optimizer, &mut feed, stop)?;
            let is_whole = stretch.steps == self.config.steps_per_epoch;
            if !is_whole && stop.load(Ordering::Relaxed) {
                // The unfinished epoch is taken up again from its beginning.
                break;
            }
            self.progress.steps += stretch.steps;
            self.progress.epoch += 1;
            let kept = optimizer.to_keep(parameters).map_err(said)?;
            let alpha = self.config.alpha;
            let mut seen =
                validate(&kept, self.net, alpha, self.device, validation).map_err(said)?;
            let count = stretch.steps.max(1) as f64;
            seen.epoch = self.progress.epoch;
            seen.step = self.progress.steps;
            seen.loss = stretch.loss / count;
            seen.seconds = self.seconds();
            seen.samples_per_second = count * self.config.batch as f64 / stretch.seconds.max(1e-9);
            seen.waited = stretch.waited / stretch.seconds.max(1e-9);
            seen.gradient_norm = stretch.norm / count;
            seen.learning_rate = stretch.learning_rate;
            let judged = if validation.is_empty() {
                seen.loss
            } else {
                seen.validation_loss
            };
            if self.progress.plateau.look(judged, self.config) {
                let tensors = tensors_of(&kept).map_err(said)?;
                let card = self.card(&partial(out), &seen);
                save(&tensors, &card, &partial(out), true)?;
                self.best = Some(tensors);
                self.progress.best = Some(seen);
            }
            let now = Progress {
                seconds: seconds_before + begun.elapsed().as_secs_f64(),
                ..self.progress.clone()
            };
            let identity = self.identity();
            let best = self.best.as_ref();
            checkpoint::write(out, &identity, &now, parameters, optimizer, best)?;
            report(&seen);
        }
        Ok(())
    }

    /// One epoch of steps, or fewer where the budget ends or somebody says stop.
    fn stretch(
        &self,
        parameters: &mut Parameters,
        optimizer: &mut AdamW,
        feed: &mut Feed,
        stop: &AtomicBool,
    ) -> Result<Stretch, Error> {
        let said = |error: candle_core::Error| could_not_compute(&error, self.out);
        let begun = Instant::now();
        let mut seen = Stretch::default();
        for _ in 0..self.config.steps_per_epoch {
            let steps = self.progress.steps + seen.steps;
            let used = self.used(steps);
            if (used >= 1.0 && seen.steps > 0) || stop.load(Ordering::Relaxed) {
                break;
            }
            let asked = Instant::now();
            let batch = feed
                .next_batch()
                .map_err(|why| unreadable(&why, self.out))?;
            seen.waited += asked.elapsed().as_secs_f64();
            seen.learning_rate =
                learning_rate(self.config, steps, used, self.progress.plateau.scale);
            let (loss, norm) = self
                .step(parameters, batch, optimizer, seen.learning_rate)
                .map_err(said)?;
            seen.loss += loss;
            seen.norm += norm;
            seen.steps += 1;
        }
        seen.seconds = begun.elapsed().as_secs_f64();
        Ok(seen)
    }

    /// One step; returns the loss and the norm of its gradient.
    fn step(
        &self,
        parameters: &mut Parameters,
        batch: Batch,
        optimizer: &mut AdamW,
        learning_rate: f64,
    ) -> candle_core::Result<(f64, f64)> {
        let side = self.config.patch;
        let count = batch.target.len() / (side * side);
        let input = Tensor::from_vec(batch.input, (count, 1, side, side), self.device)?;
        let mut graph = Graph::training(parameters);
        if self.config.precision.is_mixed(self.device.is_cpu()) {
            graph = graph.to_dtype(DType::BF16)?;
        }
        let output = forward(&graph, &input, self.net)?;
        let weights = LossConfig {
            alpha: self.config.alpha,
            hit: self.net.hit_head,
        };
        let loss = loss_of(&output, Arc::new(batch.target), &weights)?;
        let norm = optimizer.step(&parameters.vars, &loss.backward()?, learning_rate)?;
        graph.update_running(&mut parameters.running, 0.05);
        optimizer.average_moments(&parameters.running);
        Ok((f64::from(loss.to_scalar::<f32>()?), norm))
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;
    use crate::domain::grid::Grid;
    use crate::net::DeviceChoice;
    use crate::net::Net;

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
        let prediction = net.predict(&[&labelled.frame], None).unwrap().remove(0);
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
