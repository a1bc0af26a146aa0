//! AdamW (Loshchilov and Hutter 2019) with gradient clipping and a running average of the weights, whose whole state can be kept.
//!
//! Beside candle's own because its moments cannot be read, and a training that goes on must not notice that it stopped.

use std::collections::{BTreeMap, HashMap};

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, Var};

use crate::net::graph::{Moments, Parameters, Running};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Numbers that stay the same during a training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    pub weight_decay: f64,
    /// The largest norm of the whole gradient; longer ones are scaled down to it. 0: no limit.
    pub clip: f64,
    /// Decay per step of the averaged weights; 0: no average is kept.
    pub average: f64,
}

/// The optimiser's memory.
pub struct AdamW {
    settings: Settings,
    steps: usize,
    first: BTreeMap<String, Tensor>,
    second: BTreeMap<String, Tensor>,
    average: BTreeMap<String, Tensor>,
    average_running: Running,
}

impl AdamW {
    pub fn new(parameters: &Parameters, settings: Settings) -> Result<Self> {
        let (mut first, mut second, mut average) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (name, var) in &parameters.vars {
            first.insert(name.clone(), var.zeros_like()?);
            second.insert(name.clone(), var.zeros_like()?);
            if settings.average > 0.0 {
                average.insert(name.clone(), var.as_tensor().detach().copy()?);
            }
        }
        Ok(Self {
            settings,
            steps: 0,
            first,
            second,
            average,
            average_running: parameters.running.clone(),
        })
    }

    /// One step down the gradient. Returns the gradient's norm before clipping; a step whose norm is not finite is left out.
    pub fn step(
        &mut self,
        vars: &BTreeMap<String, Var>,
        gradients: &GradStore,
        learning_rate: f64,
    ) -> Result<f64> {
        let of = |var: &Var| gradients.get(var.as_tensor()).map(Tensor::detach);
        let squares: Vec<Tensor> = vars
            .values()
            .filter_map(of)
            .map(|gradient| gradient.sqr()?.sum_all())
            .collect::<Result<_>>()?;
        let Some(total) = sum_of(&squares)? else {
            return Ok(0.0);
        };
        let norm = total.sqrt();
        if !norm.is_finite() {
            return Ok(norm);
        }
        let clip = self.settings.clip;
        let scale = if clip > 0.0 && norm > clip {
            clip / norm
        } else {
            1.0
        };
        self.steps += 1;
        let count = self.steps.min(1_000_000) as i32;
        let (bias1, bias2) = (1.0 - BETA1.powi(count), 1.0 - BETA2.powi(count));
        let decay = self
            .settings
            .average
            .min((1.0 + self.steps as f64) / (10.0 + self.steps as f64));
        for (name, var) in vars {
            let Some(gradient) = of(var) else { continue };
            let gradient = (gradient * scale)?;
            let (Some(first), Some(second)) = (self.first.get_mut(name), self.second.get_mut(name))
            else {
                continue;
            };
            *first = ((&*first * BETA1)? + (&gradient * (1.0 - BETA1))?)?;
            *second = ((&*second * BETA2)? + (gradient.sqr()? * (1.0 - BETA2))?)?;
            let upward = ((&*first / bias1)? / ((&*second / bias2)?.sqrt()? + EPSILON)?)?;
            let kept = (var.as_tensor() * (1.0 - learning_rate * self.settings.weight_decay))?;
            let next = (kept - (upward * learning_rate)?)?.detach();
            if let Some(average) = self.average.get_mut(name) {
                *average = ((&*average * decay)? + (&next * (1.0 - decay))?)?;
            }
            var.set(&next)?;
        }
        Ok(norm)
    }

    /// How many steps were taken.
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// Takes the running moments into the average, after a step.
    pub fn average_moments(&mut self, running: &Running) {
        let steps = self.steps as f64;
        let decay = self.settings.average.min((1.0 + steps) / (10.0 + steps));
        for (name, moments) in running {
            let Some(average) = self.average_running.get_mut(name) else {
                continue;
            };
            let blend = |into: &mut Vec<f64>, from: &Vec<f64>| {
                for (into, from) in into.iter_mut().zip(from) {
                    *into = *into * decay + from * (1.0 - decay);
                }
            };
            blend(&mut average.mean, &moments.mean);
            blend(&mut average.variance, &moments.variance);
        }
    }

    /// The parameters to judge and to keep: averaged ones where an average is kept, else those trained.
    pub fn to_keep(&self, trained: &Parameters) -> Result<Parameters> {
        let mut vars = BTreeMap::new();
        for (name, var) in &trained.vars {
            let tensor = self.average.get(name).unwrap_or(var.as_tensor());
            vars.insert(name.clone(), Var::from_tensor(&tensor.detach().copy()?)?);
        }
        let running = if self.average.is_empty() {
            trained.running.clone()
        } else {
            self.average_running.clone()
        };
        Ok(Parameters { vars, running })
    }

    /// Everything that the next step depends on, by name; see [`AdamW::restore`].
    pub fn state(&self) -> Result<HashMap<String, Tensor>> {
        let mut state = HashMap::new();
        for (prefix, tensors) in [
            ("first", &self.first),
            ("second", &self.second),
            ("average", &self.average),
        ] {
            for (name, tensor) in tensors {
                let tensor = tensor.to_device(&Device::Cpu)?;
                state.insert(format!("{prefix}.{name}"), tensor);
            }
        }
        put_running(&mut state, "average_running", &self.average_running)?;
        Ok(state)
    }

    /// Goes on where the state was taken, after `steps` steps. Errors: a tensor that is missing or of another shape.
    pub fn restore(
        &mut self,
        state: &HashMap<String, Tensor>,
        steps: usize,
        device: &Device,
    ) -> std::result::Result<(), String> {
        self.steps = steps;
        for (prefix, tensors) in [
            ("first", &mut self.first),
            ("second", &mut self.second),
            ("average", &mut self.average),
        ] {
            for (name, tensor) in tensors.iter_mut() {
                let name = format!("{prefix}.{name}");
                let kept = state.get(&name).ok_or(format!("no tensor {name}"))?;
                if kept.shape() != tensor.shape() {
                    return Err(format!("{name} has another shape"));
                }
                *tensor = kept.to_device(device).map_err(|e| e.to_string())?;
            }
        }
        take_running(state, "average_running", &mut self.average_running)
    }
}

/// The sum of scalars in f64, one transfer from the device.
fn sum_of(scalars: &[Tensor]) -> Result<Option<f64>> {
    if scalars.is_empty() {
        return Ok(None);
    }
    let all = Tensor::stack(scalars, 0)?.to_dtype(candle_core::DType::F64)?;
    Ok(Some(all.to_vec1::<f64>()?.iter().sum()))
}

/// Running moments as f64 tensors, to the bit.
pub fn put_running(
    state: &mut HashMap<String, Tensor>,
    prefix: &str,
    running: &Running,
) -> Result<()> {
    for (name, moments) in running {
        for (part, values) in [("mean", &moments.mean), ("variance", &moments.variance)] {
            let tensor = Tensor::from_vec(values.clone(), values.len(), &Device::Cpu)?;
            state.insert(format!("{prefix}.{name}.{part}"), tensor);
        }
    }
    Ok(())
}

/// The moments that [`put_running`] stored.
pub fn take_running(
    state: &HashMap<String, Tensor>,
    prefix: &str,
    running: &mut Running,
) -> std::result::Result<(), String> {
    for (name, moments) in running.iter_mut() {
        let of = |part: &str| {
            let name = format!("{prefix}.{name}.{part}");
            let tensor = state.get(&name).ok_or(format!("no tensor {name}"))?;
            tensor.to_vec1::<f64>().map_err(|e| e.to_string())
        };
        let kept = Moments {
            mean: of("mean")?,
            variance: of("variance")?,
        };
        if kept.mean.len() != moments.mean.len() || kept.variance.len() != moments.variance.len() {
            return Err(format!("{name} has another shape"));
        }
        *moments = kept;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three steps against `torch.optim.AdamW(lr=0.1, weight_decay=0.01)` with `clip_grad_norm_(1.0)` (PyTorch 2.15.0):
    ///
    /// ```python
    /// import torch
    /// x = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    /// opt = torch.optim.AdamW([x], lr=0.1, weight_decay=0.01)
    /// for _ in range(3):
    ///     opt.zero_grad(); (x ** 2 * torch.tensor([1.0, 0.5, 0.1])).sum().backward()
    ///     torch.nn.utils.clip_grad_norm_([x], 1.0); opt.step()
    /// print(x.tolist())
    /// ```
    #[test]
    fn steps_are_those_of_pytorch() {
        let device = Device::Cpu;
        let start = Tensor::new(&[1.0_f32, -2.0, 3.0], &device).unwrap();
        let vars: BTreeMap<String, Var> =
            [("x".to_owned(), Var::from_tensor(&start).unwrap())].into();
        let parameters = Parameters {
            vars: vars.clone(),
            running: Running::new(),
        };
        let settings = Settings {
            weight_decay: 0.01,
            clip: 1.0,
            average: 0.0,
        };
        let mut optimizer = AdamW::new(&parameters, settings).unwrap();
        let weights = Tensor::new(&[1.0_f32, 0.5, 0.1], &device).unwrap();
        for _ in 0..3 {
            let loss = (vars["x"].as_tensor().sqr().unwrap() * &weights)
                .unwrap()
                .sum_all()
                .unwrap();
            let gradients = loss.backward().unwrap();
            optimizer.step(&vars, &gradients, 0.1).unwrap();
        }
        let found = vars["x"].to_vec1::<f32>().unwrap();
        for (found, expected) in found.iter().zip(EXPECTED) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    const EXPECTED: [f32; 3] = [0.6976601, -1.6940941, 2.6909816];
}
