//! A training's whole state in one file, so that it can go on after a stop as if nothing had been.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::optimizer::{AdamW, put_running, take_running};
use super::schedule::Plateau;
use super::{Validation, beside};
use crate::net::Error;
use crate::net::graph::Parameters;

const VERSION: u32 = 1;
/// The key of the numbers among the file's own notes.
const STATE: &str = "peaknet-training";

/// What a training knows beside its tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    pub epoch: usize,
    pub steps: usize,
    /// Seconds that earlier parts of the training took.
    pub seconds: f64,
    pub plateau: Plateau,
    /// The best validation so far.
    pub best: Option<Validation>,
}

/// The form on disk.
#[derive(Serialize, Deserialize)]
struct State {
    version: u32,
    epoch: usize,
    steps: usize,
    seconds: f64,
    optimizer_steps: usize,
    /// Numbers that the training must have again, by name.
    recipe: String,
    plateau_best: String,
    plateau_waited: usize,
    plateau_scale: f64,
    /// epoch, step, loss, validation loss, peak F1, artifact IoU, seconds.
    best: Option<[f64; 7]>,
}

/// The file with the state of the training of `out`.
pub fn path_of(out: &Path) -> PathBuf {
    beside(out, ".checkpoint")
}

/// Writes the state beside `out`, whole or not at all.
pub fn write(
    out: &Path,
    recipe: &str,
    progress: &Progress,
    parameters: &Parameters,
    optimizer: &AdamW,
    best: Option<&HashMap<String, Tensor>>,
) -> Result<(), Error> {
    let path = path_of(out);
    let failed = |why: String| {
        Error::new(
            format!("the training's state cannot be written ({why}); make room on the disk"),
            &path,
        )
    };
    let mut tensors = optimizer.state().map_err(|e| failed(e.to_string()))?;
    for (name, var) in &parameters.vars {
        let tensor = var.as_tensor().detach().to_device(&Device::Cpu);
        let tensor = tensor.map_err(|e| failed(e.to_string()))?;
        tensors.insert(format!("var.{name}"), tensor);
    }
    put_running(&mut tensors, "running", &parameters.running).map_err(|e| failed(e.to_string()))?;
    for (name, tensor) in best.into_iter().flatten() {
        tensors.insert(format!("best.{name}"), tensor.clone());
    }
    let state = State {
        version: VERSION,
        epoch: progress.epoch,
        steps: progress.steps,
        seconds: progress.seconds,
        optimizer_steps: optimizer.steps(),
        recipe: recipe.to_owned(),
        // TOML has no infinity that every reader knows, and text keeps every bit.
        plateau_best: format!("{:?}", progress.plateau.best),
        plateau_waited: progress.plateau.waited,
        plateau_scale: progress.plateau.scale,
        best: progress.best.map(|v| {
            [
                v.epoch as f64,
                v.step as f64,
                v.loss,
                v.validation_loss,
                v.peak_f1,
                v.artifact_iou,
                v.seconds,
            ]
        }),
    };
    let text = toml::to_string(&state).map_err(|e| failed(e.to_string()))?;
    let notes = HashMap::from([(STATE.to_owned(), text)]);
    let bytes = safetensors::serialize(&tensors, Some(notes)).map_err(|e| failed(e.to_string()))?;
    crate::fs::write_whole(&path, &bytes, true).map_err(|e| failed(e.to_string()))
}

/// Puts a training back to its stored state. Returns how far it was and its best tensors so far.
///
/// Errors: no state, a damaged one, or one of a training with other numbers.
pub fn read(
    out: &Path,
    recipe: &str,
    parameters: &mut Parameters,
    optimizer: &mut AdamW,
    device: &Device,
) -> Result<(Progress, Option<HashMap<String, Tensor>>), Error> {
    let path = path_of(out);
    let damaged = |why: String| {
        Error::new(
            format!("the training's state is damaged ({why}); start again without --resume"),
            &path,
        )
    };
    let bytes = std::fs::read(&path).map_err(|error| {
        Error::new(
            format!("no training to go on with ({error}); start it without --resume"),
            &path,
        )
    })?;
    let text = safetensors::SafeTensors::read_metadata(&bytes)
        .map_err(|e| damaged(e.to_string()))?
        .1
        .metadata()
        .as_ref()
        .and_then(|notes| notes.get(STATE).cloned())
        .ok_or_else(|| damaged("no notes".to_owned()))?;
    let state: State = toml::from_str(&text).map_err(|e| damaged(e.message().to_owned()))?;
    if state.version != VERSION {
        return Err(damaged(format!("version {}", state.version)));
    }
    if state.recipe != recipe {
        return Err(Error::new(
            format!(
                "the training to go on with has other numbers ({}); use the same options",
                first_difference(&state.recipe, recipe)
            ),
            &path,
        ));
    }
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
        .map_err(|e| damaged(e.to_string()))?;
    for (name, var) in &mut parameters.vars {
        let kept = tensors
            .get(&format!("var.{name}"))
            .filter(|kept| kept.shape() == var.shape() && kept.dtype() == var.dtype())
            .ok_or_else(|| damaged(format!("no tensor {name}")))?;
        let kept = kept.to_device(device).map_err(|e| damaged(e.to_string()))?;
        *var = Var::from_tensor(&kept).map_err(|e| damaged(e.to_string()))?;
    }
    take_running(&tensors, "running", &mut parameters.running).map_err(damaged)?;
    optimizer
        .restore(&tensors, state.optimizer_steps, device)
        .map_err(damaged)?;
    let best: HashMap<String, Tensor> = tensors
        .iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix("best.")?.to_owned(), tensor.clone())))
        .collect();
    let progress = Progress {
        epoch: state.epoch,
        steps: state.steps,
        seconds: state.seconds,
        plateau: Plateau {
            best: state
                .plateau_best
                .parse()
                .map_err(|_| damaged("plateau".to_owned()))?,
            waited: state.plateau_waited,
            scale: state.plateau_scale,
        },
        best: state.best.map(
            |[
                epoch,
                step,
                loss,
                validation_loss,
                peak_f1,
                artifact_iou,
                seconds,
            ]| Validation {
                epoch: epoch as usize,
                step: step as usize,
                loss,
                validation_loss,
                peak_f1,
                artifact_iou,
                seconds,
                ..Validation::default()
            },
        ),
    };
    Ok((progress, (!best.is_empty()).then_some(best)))
}

/// The first line that two recipes do not share, for a message.
fn first_difference(old: &str, new: &str) -> String {
    let (mut old, mut new) = (old.lines(), new.lines());
    loop {
        match (old.next(), new.next()) {
            (Some(a), Some(b)) if a == b => {}
            (None, None) => return "another version".to_owned(),
            (a, b) => {
                let say = |line: Option<&str>| line.unwrap_or("nothing").to_owned();
                return format!("it had {}, now {}", say(a), say(b));
            }
        }
    }
}
