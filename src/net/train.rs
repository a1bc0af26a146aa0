//! The visible training loop: seeded patches, focal loss, AdamW, plateau schedule, the best validation kept.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::augment::{Patch, Strength, augment};
use super::card::{Card, SetNote, today};
use super::graph::{Graph, Parameters};
use super::head::CLASSES;
use super::loss::{NO_TARGET, focal};
use super::prepare::prepare;
use super::{
    Architecture, DeviceChoice, Error, declare, forward, open_device, save, start_from, tensors_of,
};
use crate::domain::frame::{Frame, bad};
use crate::domain::labels::Sheet;

/// A frame with its labels.
#[derive(Clone, Debug)]
pub struct Labelled {
    pub frame: Frame,
    pub sheet: Sheet,
}

/// Gives the labelled frame that a seed stands for: simulated, or drawn from a set.
pub type Sampler = Box<dyn Fn(u64) -> Result<Labelled, String> + Send>;

/// What a net is trained and judged on.
pub struct TrainingData {
    pub sample: Sampler,
    pub validation: Vec<Labelled>,
    pub sets: Vec<SetNote>,
    pub licence: String,
}

/// How a net is trained; every number is written to the card.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainConfig {
    /// `None`: the parent's, or without a parent the paper's.
    pub architecture: Option<Architecture>,
    pub seed: u64,
    /// Edge of a patch, pixels; a multiple of the net's step.
    pub patch: usize,
    pub batch: usize,
    pub steps_per_epoch: usize,
    pub epochs: usize,
    /// The training ends after so many minutes at the latest.
    pub minutes: Option<f64>,
    pub learning_rate: f64,
    pub weight_decay: f64,
    /// Validations without a better loss before the learning rate falls.
    pub patience: usize,
    pub plateau_factor: f64,
    /// The last share of the budget in which the learning rate falls to a fiftieth.
    pub anneal: f64,
    pub alpha: [f64; CLASSES],
    pub strength: Strength,
    pub device: DeviceChoice,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            architecture: None,
            seed: 0,
            patch: 256,
            batch: 4,
            steps_per_epoch: 100,
            epochs: 1000,
            minutes: None,
            learning_rate: 1e-3,
            weight_decay: 1e-4,
            patience: 10,
            plateau_factor: 0.2,
            anneal: 0.3,
            alpha: [1.0, 2.0, 1.2],
            strength: Strength::default(),
            device: DeviceChoice::Auto,
        }
    }
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
}

/// Trains and writes the net folder `out`, which appears whole, when the training has ended.
///
/// `parent` is the folder of the net to start from. Errors: data that cannot be read, a device that is not there.
pub fn train(
    data: TrainingData,
    config: &TrainConfig,
    parent: Option<&Path>,
    out: &Path,
    replace: bool,
    report: &mut dyn FnMut(&Validation),
) -> Result<Card, Error> {
    let said = |error: candle_core::Error| {
        let first = error.to_string();
        let first = first.lines().next().unwrap_or_default().to_owned();
        Error::new(
            format!("the training could not compute ({first}); try smaller batches"),
            out,
        )
    };
    let device = open_device(config.device)?;
    let parent_card = parent.map(Card::load).transpose()?;
    let parents = parent_card.as_ref().and_then(|c| c.architecture().ok());
    let net = config.architecture.clone().or(parents).unwrap_or_default();
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
    let mut parameters = match (parent, &parent_card) {
        (Some(folder), Some(card)) => start_from(folder, card, &net, config.seed, &device)?.0,
        _ => declare(&net, config.seed, DType::F32, &device).map_err(said)?,
    };
    let validation: Vec<Judged> = data
        .validation
        .iter()
        .map(|labelled| Judged::new(labelled, step))
        .collect();
    let batches = feed(data.sample, config);
    let mut run = Run {
        config,
        net: &net,
        device: &device,
        start: Instant::now(),
        best: None,
    };
    let mut keep = |tensors: &HashMap<String, Tensor>, scores: &Validation, run: &Run<'_>| {
        let card = run.card(
            parent_card.as_ref(),
            &data.sets,
            &data.licence,
            &partial(out),
            scores,
        );
        save(tensors, &card, &partial(out), true).map(|_| ())
    };
    let (epochs, steps) = run.epochs(
        &mut parameters,
        &batches,
        &validation,
        out,
        &mut keep,
        report,
    )?;
    let (best, scores) = match run.best.take() {
        Some((tensors, scores)) => (tensors, scores),
        None => (
            tensors_of(&parameters).map_err(said)?,
            Validation::default(),
        ),
    };
    let card = run.card(
        parent_card.as_ref(),
        &data.sets,
        &data.licence,
        out,
        &scores,
    );
    let card = save(
        &best,
        &Card {
            epochs,
            steps,
            ..card
        },
        out,
        replace,
    )?;
    // What a stopped training would have left is not needed any more.
    let _ = std::fs::remove_dir_all(partial(out));
    Ok(card)
}

/// Where the best net so far lies while the training runs, for the case that it is stopped.
pub fn partial(out: &Path) -> PathBuf {
    let mut name = out
        .file_name()
        .map(std::ffi::OsStr::to_os_string)
        .unwrap_or_default();
    name.push(".partial");
    out.with_file_name(name)
}

fn recipe(config: &TrainConfig, device: &str) -> std::collections::BTreeMap<String, toml::Value> {
    let number = |value: f64| toml::Value::Float(value);
    let whole = |value: usize| toml::Value::Integer(value as i64);
    [
        ("patch", whole(config.patch)),
        ("batch", whole(config.batch)),
        ("steps_per_epoch", whole(config.steps_per_epoch)),
        ("learning_rate", number(config.learning_rate)),
        ("weight_decay", number(config.weight_decay)),
        ("plateau_patience", whole(config.patience)),
        ("plateau_factor", number(config.plateau_factor)),
        ("anneal", number(config.anneal)),
        ("minutes", number(config.minutes.unwrap_or(0.0))),
        ("focal_gamma", number(super::loss::GAMMA)),
        (
            "focal_alpha",
            toml::Value::Array(config.alpha.map(number).to_vec()),
        ),
        ("rotated", number(config.strength.rotated)),
        ("shifted", number(config.strength.shifted)),
        ("covered", number(config.strength.covered)),
        ("device", toml::Value::String(device.to_owned())),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// A batch of patches, one after another.
struct Batch {
    input: Vec<f32>,
    target: Vec<u8>,
}

/// Makes batches on a thread of its own, a few ahead; their order depends on the seed alone.
fn feed(sample: Sampler, config: &TrainConfig) -> Receiver<Result<Batch, String>> {
    let (sender, receiver) = sync_channel(3);
    let config = config.clone();
    std::thread::spawn(move || {
        let mut rng = Pcg64Mcg::seed_from_u64(config.seed ^ 0x5EED_F00D);
        let mut pool: Vec<Patch> = Vec::new();
        loop {
            let batch = next_batch(&sample, &config, &mut pool, &mut rng);
            let failed = batch.is_err();
            if sender.send(batch).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

fn next_batch(
    sample: &Sampler,
    config: &TrainConfig,
    pool: &mut Vec<Patch>,
    rng: &mut Pcg64Mcg,
) -> Result<Batch, String> {
    let mut batch = Batch {
        input: Vec::new(),
        target: Vec::new(),
    };
    for _ in 0..config.batch {
        // Large frames give several patches: a few frames are mixed before patches are drawn.
        while pool.len() < 2 * config.batch {
            let labelled = sample(rng.random())?;
            cut(&labelled, config.patch, pool, rng);
            pool.shuffle(rng);
        }
        let Some(patch) = pool.pop() else { continue };
        let patch = augment(&patch, config.strength, rng);
        batch.input.extend_from_slice(&patch.input);
        batch.target.extend_from_slice(&patch.target);
    }
    Ok(batch)
}

/// Cuts patches out of a prepared frame: one, or more from a large one, most of them where labels are.
fn cut(labelled: &Labelled, side: usize, pool: &mut Vec<Patch>, rng: &mut Pcg64Mcg) {
    let input = prepare(&labelled.frame);
    let (width, height) = (input.width(), input.height());
    let count = (width * height / (side * side * 4)).clamp(1, 6);
    for _ in 0..count {
        let tries = if rng.random_bool(0.7) { 4 } else { 1 };
        let place = |rng: &mut Pcg64Mcg| {
            let x = rng.random_range(0..=width.saturating_sub(side));
            let y = rng.random_range(0..=height.saturating_sub(side));
            (x, y)
        };
        let best = (0..tries)
            .map(|_| place(rng))
            .max_by_key(|at| labels_in(&labelled.sheet, *at, side));
        if let Some(at) = best {
            pool.push(patch_at(labelled, &input, at, side));
        }
    }
}

/// How many sampled pixels of class peak or artifact a patch would have; peaks count more.
fn labels_in(sheet: &Sheet, (x0, y0): (usize, usize), side: usize) -> usize {
    let rows = (y0..(y0 + side).min(sheet.height())).step_by(2);
    rows.map(|y| {
        let row = sheet.row(y);
        let row = &row[x0.min(row.len())..(x0 + side).min(row.len())];
        row.iter()
            .map(|c| match c {
                1 => 4,
                2 => 1,
                _ => 0,
            })
            .sum::<usize>()
    })
    .sum()
}

/// The class codes that a loss may look at: 255 where the label is ignore or the pixel invalid.
fn target_of(labelled: &Labelled, x: usize, y: usize) -> u8 {
    let is_valid = labelled
        .frame
        .bad
        .get(x, y)
        .is_some_and(|bits| bits & bad::NOT_VALID == 0);
    match labelled.sheet.get(x, y) {
        Some(class) if is_valid && usize::from(*class) < CLASSES => *class,
        _ => NO_TARGET,
    }
}

fn patch_at(
    labelled: &Labelled,
    input: &crate::domain::grid::Grid<f32>,
    (x0, y0): (usize, usize),
    side: usize,
) -> Patch {
    let mut patch = Patch {
        side,
        input: vec![0.0; side * side],
        target: vec![NO_TARGET; side * side],
    };
    for y in 0..side {
        for x in 0..side {
            if let Some(value) = input.get(x0 + x, y0 + y) {
                patch.input[y * side + x] = *value;
                patch.target[y * side + x] = target_of(labelled, x0 + x, y0 + y);
            }
        }
    }
    patch
}

/// A prepared validation frame, padded to a multiple of the net's step.
struct Judged {
    width: usize,
    height: usize,
    input: Vec<f32>,
    target: Arc<Vec<u8>>,
}

impl Judged {
    fn new(labelled: &Labelled, step: usize) -> Self {
        let prepared = prepare(&labelled.frame);
        let (width, height) = (
            prepared.width().next_multiple_of(step),
            prepared.height().next_multiple_of(step),
        );
        let mut input = vec![0.0; width * height];
        let mut target = vec![NO_TARGET; width * height];
        for y in 0..prepared.height() {
            for x in 0..prepared.width() {
                input[y * width + x] = prepared.row(y)[x];
                target[y * width + x] = target_of(labelled, x, y);
            }
        }
        Self {
            width,
            height,
            input,
            target: Arc::new(target),
        }
    }
}

/// Puts the best net so far on disk.
type Keep<'a> =
    dyn FnMut(&HashMap<String, Tensor>, &Validation, &Run<'_>) -> Result<(), Error> + 'a;

/// The best tensors so far and what they scored.
type Best = (HashMap<String, Tensor>, Validation);

struct Run<'a> {
    config: &'a TrainConfig,
    net: &'a Architecture,
    device: &'a Device,
    start: Instant,
    best: Option<Best>,
}

impl Run<'_> {
    fn device_name(&self) -> String {
        if self.device.is_cpu() {
            "CPU".to_owned()
        } else {
            "CUDA".to_owned()
        }
    }

    fn card(
        &self,
        parent: Option<&Card>,
        sets: &[SetNote],
        licence: &str,
        out: &Path,
        scores: &Validation,
    ) -> Card {
        let score = |name: &str, value: f64| (name.to_owned(), value);
        Card {
            name: out
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
            parent: parent.map(|card| format!("{} {}", card.name, card.weights_digest)),
            seed: self.config.seed,
            epochs: scores.epoch,
            steps: scores.step,
            date: today(),
            licence: licence.to_owned(),
            training: recipe(self.config, &self.device_name()),
            scores: [
                score("validation_loss", scores.validation_loss),
                score("peak_pixel_f1", scores.peak_f1),
                score("artifact_iou", scores.artifact_iou),
            ]
            .into(),
            sets: sets.to_vec(),
            ..Card::of(self.net)
        }
    }

    /// How much of the budget is used, 0 to 1.
    fn progress(&self, steps: usize) -> f64 {
        let by_steps =
            steps as f64 / (self.config.epochs * self.config.steps_per_epoch).max(1) as f64;
        let by_time = self.config.minutes.map_or(0.0, |minutes| {
            self.start.elapsed().as_secs_f64() / (minutes * 60.0).max(1e-9)
        });
        by_steps.max(by_time)
    }

    fn epochs(
        &mut self,
        parameters: &mut Parameters,
        batches: &Receiver<Result<Batch, String>>,
        validation: &[Judged],
        out: &Path,
        keep: &mut Keep<'_>,
        report: &mut dyn FnMut(&Validation),
    ) -> Result<(usize, usize), Error> {
        let said = |error: candle_core::Error| {
            let first = error.to_string();
            let first = first.lines().next().unwrap_or_default().to_owned();
            Error::new(
                format!("the training could not compute ({first}); try smaller batches"),
                out,
            )
        };
        let vars = parameters.vars.values().cloned().collect();
        let settings = ParamsAdamW {
            lr: self.config.learning_rate,
            weight_decay: self.config.weight_decay,
            ..ParamsAdamW::default()
        };
        let mut optimizer = AdamW::new(vars, settings).map_err(said)?;
        let mut plateau = Plateau::default();
        let (mut epoch, mut steps) = (0, 0);
        while epoch < self.config.epochs && self.progress(steps) < 1.0 {
            let (mut sum, mut count) = (0.0, 0);
            for _ in 0..self.config.steps_per_epoch {
                let progress = self.progress(steps);
                if progress >= 1.0 && count > 0 {
                    break;
                }
                let anneal = self.config.anneal.max(1e-9);
                let fall = ((progress - (1.0 - anneal)) / anneal).clamp(0.0, 1.0);
                optimizer.set_learning_rate(
                    self.config.learning_rate * plateau.scale * (1.0 - 0.98 * fall),
                );
                let batch = batches
                    .recv()
                    .map_err(|_| {
                        Error::new("the training data ended unexpectedly; start again", out)
                    })?
                    .map_err(|why| {
                        Error::new(format!("the training data cannot be read ({why})"), out)
                    })?;
                sum += self.step(parameters, batch, &mut optimizer).map_err(said)?;
                count += 1;
                steps += 1;
            }
            epoch += 1;
            let mut seen = self.validate(parameters, validation).map_err(said)?;
            seen.epoch = epoch;
            seen.step = steps;
            seen.loss = sum / f64::from(count.max(1));
            seen.seconds = self.start.elapsed().as_secs_f64();
            let judged = if validation.is_empty() {
                seen.loss
            } else {
                seen.validation_loss
            };
            if plateau.look(judged, self.config) {
                let tensors = tensors_of(parameters).map_err(said)?;
                keep(&tensors, &seen, self)?;
                self.best = Some((tensors, seen));
            }
            report(&seen);
        }
        Ok((epoch, steps))
    }

    fn step(
        &self,
        parameters: &mut Parameters,
        batch: Batch,
        optimizer: &mut AdamW,
    ) -> candle_core::Result<f64> {
        let side = self.config.patch;
        let count = batch.target.len() / (side * side);
        let input = Tensor::from_vec(batch.input, (count, 1, side, side), self.device)?;
        let graph = Graph::training(parameters);
        let logits = forward(&graph, &input, self.net)?.logits;
        let loss = focal(&logits, Arc::new(batch.target), self.config.alpha)?;
        optimizer.backward_step(&loss)?;
        let mut running = std::mem::take(&mut parameters.running);
        graph.update_running(&mut running, 0.05);
        parameters.running = running;
        Ok(f64::from(loss.to_scalar::<f32>()?))
    }

    fn validate(
        &self,
        parameters: &Parameters,
        validation: &[Judged],
    ) -> candle_core::Result<Validation> {
        let graph = Graph::folded(parameters)?;
        let mut loss = 0.0;
        // Per class: agreed, only found, only true.
        let mut counts = [[0_u64; 3]; CLASSES];
        for judged in validation {
            let input = Tensor::from_slice(
                &judged.input,
                (1, 1, judged.height, judged.width),
                self.device,
            )?;
            let logits = forward(&graph, &input, self.net)?
                .logits
                .to_device(&Device::Cpu)?;
            loss += f64::from(
                focal(&logits, judged.target.clone(), self.config.alpha)?.to_scalar::<f32>()?,
            );
            let z = logits.flatten_all()?.to_vec1::<f32>()?;
            let area = judged.target.len();
            for (i, target) in judged.target.iter().enumerate() {
                if *target == NO_TARGET {
                    continue;
                }
                let target = usize::from(*target);
                let found = (1..CLASSES).fold(0, |best, c| {
                    if z[c * area + i] > z[best * area + i] {
                        c
                    } else {
                        best
                    }
                });
                if found == target {
                    counts[found][0] += 1;
                } else {
                    counts[found][1] += 1;
                    counts[target][2] += 1;
                }
            }
        }
        let part = |a: u64, b: f64| if b > 0.0 { a as f64 / b } else { 0.0 };
        let [hit, extra, missed] = counts[1];
        let [both, more, less] = counts[2];
        Ok(Validation {
            validation_loss: loss / validation.len().max(1) as f64,
            peak_f1: part(2 * hit, (2 * hit + extra + missed) as f64),
            artifact_iou: part(both, (both + more + less) as f64),
            ..Validation::default()
        })
    }
}

/// Lowers the learning rate when the validation loss no longer falls.
struct Plateau {
    best: f64,
    waited: usize,
    scale: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self {
            best: f64::INFINITY,
            waited: 0,
            scale: 1.0,
        }
    }
}

impl Plateau {
    /// Whether this loss is the best so far.
    fn look(&mut self, loss: f64, config: &TrainConfig) -> bool {
        if loss < self.best {
            self.best = loss;
            self.waited = 0;
            return true;
        }
        self.waited += 1;
        if self.waited > config.patience {
            self.waited = 0;
            self.scale *= config.plateau_factor;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::grid::Grid;
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
            train(data(), &config, None, &out, false, &mut |v| {
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
            train(data(), &config, None, &a, false, &mut |_| {}).is_err(),
            "an existing net was overwritten"
        );
    }
}
