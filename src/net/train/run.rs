//! The loop itself: steps, epochs, what is judged, kept and written after each.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};

use super::checkpoint::{self, Progress};
use super::config::TrainConfig;
use super::feed::{Batch, Feed};
use super::judge::{Judged, validate};
use super::optimizer::AdamW;
use super::schedule::learning_rate;
use super::{Validation, partial};
use crate::net::card::{Card, SetNote, today};
use crate::net::graph::{Graph, Parameters};
use crate::net::objective::{LossConfig, loss_of};
use crate::net::standardise::Standardisation;
use crate::net::{Architecture, Error, forward, save, tensors_of};

/// One training on its way.
pub(super) struct Run<'a> {
    pub config: &'a TrainConfig,
    pub net: &'a Architecture,
    pub device: &'a Device,
    pub out: &'a Path,
    pub parent: Option<&'a Card>,
    pub sets: &'a [SetNote],
    pub licence: &'a str,
    pub start: Instant,
    pub progress: Progress,
    /// The tensors of the best validation so far.
    pub best: Option<HashMap<String, Tensor>>,
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
    pub fn identity(&self) -> String {
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

    pub fn card(&self, out: &Path, scores: &Validation) -> Card {
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
            // What was found right for the parent is the best guess for its child.
            peak_confidence: self.parent.and_then(|card| card.peak_confidence),
            peak_confidence_amid_artifact: (self.parent)
                .and_then(|card| card.peak_confidence_amid_artifact),
            ..Card::of(self.net)
        }
    }

    fn seconds(&self) -> f64 {
        self.progress.seconds + self.start.elapsed().as_secs_f64()
    }

    /// How much of the budget is used, 0 to 1.
    pub fn used(&self, steps: usize) -> f64 {
        let by_steps =
            steps as f64 / (self.config.epochs * self.config.steps_per_epoch).max(1) as f64;
        let by_time = self
            .config
            .minutes
            .map_or(0.0, |minutes| self.seconds() / (minutes * 60.0).max(1e-9));
        by_steps.max(by_time)
    }

    /// Trains until the budget is used or somebody says stop; reports after every epoch.
    pub fn epochs(
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

pub(super) fn could_not_compute(error: &candle_core::Error, out: &Path) -> Error {
    let first = error.to_string();
    let first = first.lines().next().unwrap_or_default().to_owned();
    Error::new(
        format!("the training could not compute ({first}); try smaller batches"),
        out,
    )
}

pub(super) fn unreadable(why: &str, out: &Path) -> Error {
    Error::new(format!("the training data cannot be read ({why})"), out)
}
