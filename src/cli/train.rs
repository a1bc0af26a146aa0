//! `peaknet train`: a new net from sets, from simulated frames, or from both.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use serde_json::json;

use super::arguments::{DeviceArgument, fraction, positive};
use super::output::{line, rounded, speak, spinner};
use super::training::{self, LeaveOut};
use super::{Failure, Outcome};
use crate::net::card::{BackboneForm, HitForm, NeckForm, Parts};
use crate::net::standardise::Standardisation;
use crate::net::train::{Course, Precision, Schedule, TrainConfig, train};
use crate::net::{Architecture, Card};

#[derive(Args, Debug)]
pub struct TrainArguments {
    /// Training sets (SET.h5, or a simulated RUN.cxi)
    #[arg(long, value_name = "SET.h5", num_args = 1.., required_unless_present = "simulate")]
    set: Vec<PathBuf>,
    /// The folder of the new net
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The net to start from; it stays as it is
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Train on simulated frames made on the fly; with --set the same as --replay 0.5
    #[arg(long)]
    simulate: bool,
    /// With --set: share of simulated frames among those trained on, so that a net does not forget
    #[arg(long, value_name = "F", value_parser = fraction, requires = "set")]
    replay: Option<f64>,
    /// Detectors or kinds of artifact that simulated frames do not have: jet,rings,powder,ice,lipid,salt,eiger4m,...
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    leave_out: Vec<LeaveOut>,
    /// TOML file of channels, [backbone], [neck], [hit_head], patch, batch, steps_per_epoch, learning_rate, ...
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// End after so many epochs (an epoch is steps_per_epoch batches, then a validation)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    /// End after so many minutes [default without --epochs: 30]
    #[arg(long, value_name = "M", value_parser = positive)]
    minutes: Option<f64>,
    /// Where chance begins; on a CPU the same number gives the same net
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    device: DeviceArgument,
    /// JSON lines (as without it)
    #[arg(long)]
    json: bool,
    /// Replace an existing net
    #[arg(long)]
    force: bool,
    /// Go on with the training of --out that was stopped (Ctrl-C) or cut off; give the same options
    #[arg(long)]
    resume: bool,
    /// Give way to other programs
    #[arg(long)]
    background: bool,
}

pub fn run(arguments: &TrainArguments) -> Outcome {
    if arguments.background {
        // Before any other thread: they take it over.
        let _ = rustix::process::nice(10);
    }
    if arguments.out.exists() && !arguments.force && !arguments.resume {
        return Err(Failure::could_not(format!(
            "a net of this name exists; choose another name or add --force: {}",
            arguments.out.display()
        )));
    }
    let sets = training::open_sets(&arguments.set)?;
    let config = config(arguments)?;
    let replay = match (
        arguments.set.is_empty(),
        arguments.replay,
        arguments.simulate,
    ) {
        (true, ..) => 1.0,
        (false, Some(share), _) => share,
        (false, None, true) => 0.5,
        (false, None, false) => 0.0,
    };
    let source = training::Source {
        sets,
        replay,
        leave_out: arguments.leave_out.clone(),
        patch: config.patch,
        seed: config.seed,
    };
    let held_out = source.held_out();
    let data = source.into_data()?;
    if let (Some(parent), Some(net)) = (&arguments.from, &config.architecture) {
        let parents = Card::load(parent)?.architecture();
        if let Ok(parents) = parents.as_ref()
            && parents != net
        {
            let (taken, fresh) = net.shared_with(parents);
            speak(&format!(
                "{taken} of {} tensors are the parent's, {fresh} start fresh",
                taken + fresh
            ));
        }
    }
    let bar = spinner("training");
    let mut broken = None;
    let stop = stop_by_signal();
    let course = Course {
        parent: arguments.from.as_deref(),
        out: &arguments.out,
        replace: arguments.force,
        resume: arguments.resume,
        stop: &stop,
    };
    let card = train(data, &config, &course, &mut |seen| {
        bar.set_message(format!(
            "epoch {}, loss {:.4}, validation {:.4}, peak F1 {:.3}, artifact IoU {:.3}",
            seen.epoch, seen.loss, seen.validation_loss, seen.peak_f1, seen.artifact_iou
        ));
        let said = line(json!({
            "epoch": seen.epoch,
            "step": seen.step,
            "loss": seen.loss,
            "validation_loss": seen.validation_loss,
            "peak_f1": seen.peak_f1,
            "artifact_iou": seen.artifact_iou,
            "seconds": seen.seconds,
            "samples_per_second": rounded(seen.samples_per_second, 2),
            "waited": rounded(seen.waited, 4),
            "gradient_norm": rounded(seen.gradient_norm, 4),
            "learning_rate": seen.learning_rate,
        }));
        // Nobody listens any more: the net is still wanted.
        broken = said.err();
    })?;
    bar.finish_and_clear();
    drop(broken);
    if stop.load(Ordering::Relaxed) {
        speak("stopped: the net has the best weights so far; go on with --resume");
    }
    let scores = held_out.score(&arguments.out, arguments.device.device)?;
    let summary = json!({ "summary": {
        "net": card.name,
        "digest": card.weights_digest,
        "epochs": card.epochs,
        "steps": card.steps,
        "held_out": scores,
        "peak_memory_mib": crate::memory::peak_mib().map(f64::round),
        "out": arguments.out,
    }});
    line(summary)
}

/// Set when the user (Ctrl-C) or the system asks the program to end: the training then keeps what it has.
fn stop_by_signal() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second time the program ends at once. A handler that cannot be set leaves the signal as it was.
        let _ = signal_hook::flag::register_conditional_default(signal, stop.clone());
        let _ = signal_hook::flag::register(signal, stop.clone());
    }
    stop
}

/// Defaults, then the file, then the options.
fn config(arguments: &TrainArguments) -> Result<TrainConfig, Failure> {
    let mut config = TrainConfig::default();
    let mut has_end = false;
    if let Some(path) = &arguments.config {
        let file = read_config(path)?;
        has_end = file.epochs.is_some() || file.minutes.is_some();
        file.apply(&mut config);
    }
    if let Some(epochs) = arguments.epochs {
        config.epochs = epochs as usize;
    }
    config.minutes = arguments.minutes.or(config.minutes);
    if arguments.epochs.is_none() && config.minutes.is_none() && !has_end {
        speak("training for 30 minutes; --minutes or --epochs sets another end");
        config.minutes = Some(30.0);
    }
    if let (Some(minutes), None) = (arguments.minutes, &arguments.config) {
        // A short training looks at its validation frames more often: ten epochs or so.
        config.steps_per_epoch = ((minutes * 10.0) as usize).clamp(20, config.steps_per_epoch);
    }
    config.seed = arguments.seed.unwrap_or(config.seed);
    config.device = arguments.device.device;
    Ok(config)
}

/// What a configuration file may say; what it leaves out stays as it is.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    channels: Option<Vec<usize>>,
    /// The parts that are not the paper's, as in a net's card.
    backbone: Option<BackboneForm>,
    neck: Option<NeckForm>,
    hit_head: Option<HitForm>,
    seed: Option<u64>,
    patch: Option<usize>,
    batch: Option<usize>,
    steps_per_epoch: Option<usize>,
    epochs: Option<usize>,
    minutes: Option<f64>,
    learning_rate: Option<f64>,
    weight_decay: Option<f64>,
    patience: Option<usize>,
    plateau_factor: Option<f64>,
    anneal: Option<f64>,
    /// By the name that cards have.
    standardisation: Option<String>,
    /// `cosine` or `plateau`.
    schedule: Option<String>,
    warm_up: Option<usize>,
    clip: Option<f64>,
    average: Option<f64>,
    /// How many threads make training patches.
    threads: Option<usize>,
    /// `auto`, `f32` or `bf16`.
    precision: Option<String>,
    scaled: Option<f64>,
    noised: Option<f64>,
    /// Weights of background, peak and artifact in the loss.
    alpha: Option<[f64; 3]>,
    rotated: Option<f64>,
    shifted: Option<f64>,
    covered: Option<f64>,
}

impl ConfigFile {
    /// The net that the file describes; `None` where it says nothing of it.
    fn architecture(&self) -> Option<Architecture> {
        let parts = Parts {
            backbone: self.backbone.clone(),
            neck: self.neck.clone(),
            hit_head: self.hit_head.clone(),
        };
        let paper = Architecture::default().channels;
        (self.channels.is_some() || parts != Parts::default())
            .then(|| parts.architecture(self.channels.as_ref().unwrap_or(&paper)))
    }

    fn apply(self, config: &mut TrainConfig) {
        fn put<T>(value: Option<T>, into: &mut T) {
            if let Some(value) = value {
                *into = value;
            }
        }
        config.architecture = self.architecture();
        put(self.seed, &mut config.seed);
        put(self.patch, &mut config.patch);
        put(self.batch, &mut config.batch);
        put(self.steps_per_epoch, &mut config.steps_per_epoch);
        put(self.epochs, &mut config.epochs);
        config.minutes = self.minutes.or(config.minutes);
        put(self.learning_rate, &mut config.learning_rate);
        put(self.weight_decay, &mut config.weight_decay);
        put(self.patience, &mut config.patience);
        put(self.plateau_factor, &mut config.plateau_factor);
        put(self.anneal, &mut config.anneal);
        if let Some(name) = &self.standardisation {
            config.standardisation = Standardisation::named(name);
        }
        put(
            self.schedule.as_deref().and_then(Schedule::named),
            &mut config.schedule,
        );
        put(
            self.precision.as_deref().and_then(Precision::named),
            &mut config.precision,
        );
        put(self.warm_up, &mut config.warm_up);
        put(self.clip, &mut config.clip);
        put(self.average, &mut config.average);
        put(self.threads, &mut config.threads);
        put(self.scaled, &mut config.strength.scaled);
        put(self.noised, &mut config.strength.noised);
        put(self.alpha, &mut config.alpha);
        put(self.rotated, &mut config.strength.rotated);
        put(self.shifted, &mut config.strength.shifted);
        put(self.covered, &mut config.strength.covered);
    }
}

fn read_config(path: &Path) -> Result<ConfigFile, Failure> {
    let failed = |why: &str| {
        Failure::could_not(format!(
            "the configuration cannot be used ({why}); correct it: {}",
            path.display()
        ))
    };
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error.to_string()))?;
    let file: ConfigFile = toml::from_str(&text).map_err(|error| failed(error.message()))?;
    if let Some(schedule) = &file.schedule
        && Schedule::named(schedule).is_none()
    {
        return Err(failed("schedule is cosine or plateau"));
    }
    if let Some(precision) = &file.precision
        && Precision::named(precision).is_none()
    {
        return Err(failed("precision is auto, f32 or bf16"));
    }
    if let Some(name) = &file.standardisation
        && Standardisation::named(name).is_none()
    {
        let known = Standardisation::ALL.map(Standardisation::name);
        return Err(failed(&format!(
            "standardisation is {}",
            known.join(" or ")
        )));
    }
    if !file.average.is_none_or(|a| (0.0..1.0).contains(&a)) {
        return Err(failed("average is at least 0 and below 1"));
    }
    if let Some(net) = file.architecture() {
        net.check().map_err(|why| failed(&why))?;
    }
    let counts = [file.batch, file.patch, file.steps_per_epoch, file.epochs];
    if counts.contains(&Some(0)) {
        return Err(failed("no count may be 0"));
    }
    Ok(file)
}
