//! The parameters of a net by name, and the one block that every part is made of: convolution, norm, ReLU.
//!
//! A graph runs in one of two ways. *Training* normalises by the moments of the batch and records them; *folded* has each
//! norm multiplied into the convolution before it, which costs nothing, and its tensors are detached, so that
//! prediction keeps no gradient graph.

mod parts;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Result, Tensor, Var, bail};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;

use super::conv::Kind;
use super::fused::{self, Seen};
use super::layer::{Form, Layer};
use super::norm::{BatchStatistics, EPSILON};
use super::ops;

/// Running moments of the norms, by name of the norm.
pub type Running = BTreeMap<String, Moments>;

/// Running mean and variance of a norm, as prediction uses them.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    pub mean: Vec<f64>,
    pub variance: Vec<f64>,
}

/// Trainable tensors by name, and the running moments of the norms.
pub struct Parameters {
    pub vars: BTreeMap<String, Var>,
    pub running: Running,
}

/// Declares parameters: shapes in the order of the net, with the seeded start (He) of PyTorch's ReLU nets.
pub struct Builder {
    rng: Pcg64Mcg,
    dtype: DType,
    device: Device,
    parameters: Parameters,
}

impl Builder {
    pub fn new(seed: u64, dtype: DType, device: &Device) -> Self {
        Self {
            rng: Pcg64Mcg::seed_from_u64(seed),
            dtype,
            device: device.clone(),
            parameters: Parameters {
                vars: BTreeMap::new(),
                running: Running::new(),
            },
        }
    }

    fn add(&mut self, name: String, values: Vec<f64>, shape: &[usize]) -> Result<()> {
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?
            .to_dtype(self.dtype)?
            .to_device(&self.device)?;
        self.parameters
            .vars
            .insert(name, Var::from_tensor(&tensor)?);
        Ok(())
    }

    /// Declares what a layer has.
    pub fn layer(&mut self, layer: &Layer) -> Result<()> {
        let shape = layer.shape();
        if layer.form == Form::Fusion {
            return self.add(layer.name.clone(), vec![1.0; layer.inputs], &shape);
        }
        let deviation = (2.0 / layer.fan() as f64).sqrt();
        let count = shape.iter().product::<usize>();
        let normal = StandardNormal;
        let values = (0..count)
            .map(|_| {
                let value: f64 = normal.sample(&mut self.rng);
                value * deviation
            })
            .collect();
        let outputs = layer.outputs;
        self.add(format!("{}.weight", layer.name), values, &shape)?;
        self.add(
            format!("{}.bias", layer.name),
            vec![0.0; outputs],
            &[outputs],
        )?;
        match layer.norm_name() {
            Some(norm) => self.norm(&norm, outputs),
            None => Ok(()),
        }
    }

    fn norm(&mut self, name: &str, channels: usize) -> Result<()> {
        self.add(format!("{name}.weight"), vec![1.0; channels], &[channels])?;
        self.add(format!("{name}.bias"), vec![0.0; channels], &[channels])?;
        self.parameters.running.insert(
            name.to_owned(),
            Moments {
                mean: vec![0.0; channels],
                variance: vec![1.0; channels],
            },
        );
        Ok(())
    }

    pub fn finish(self) -> Parameters {
        self.parameters
    }
}

/// Batch statistics of each norm since the graph was made.
type Recorder = Mutex<BTreeMap<String, BatchStatistics>>;

enum Mode {
    Training(Recorder),
    Folded,
}

/// Tensors by name, ready to run.
pub struct Graph {
    tensors: BTreeMap<String, Tensor>,
    mode: Mode,
    fused: bool,
}

impl Graph {
    /// Runs on the variables themselves and records the moments of each batch.
    pub fn training(parameters: &Parameters) -> Self {
        let tensors = parameters
            .vars
            .iter()
            .map(|(name, var)| (name.clone(), var.as_tensor().clone()))
            .collect();
        Self {
            tensors,
            mode: Mode::Training(Recorder::default()),
            fused: true,
        }
    }

    /// The same by candle's own operations even on the CPU: slow, the reference of the tests.
    #[must_use]
    pub fn composed(self) -> Self {
        Self {
            fused: false,
            ..self
        }
    }

    /// Detached copies with every norm folded into its convolution.
    pub fn folded(parameters: &Parameters) -> Result<Self> {
        let mut tensors: BTreeMap<String, Tensor> = parameters
            .vars
            .iter()
            .map(|(name, var)| (name.clone(), var.as_tensor().detach()))
            .collect();
        for (norm, moments) in &parameters.running {
            let conv = norm.replace("norm", "conv");
            let (Some(gamma), Some(beta), Some(weight), Some(bias)) = (
                tensors.get(&format!("{norm}.weight")),
                tensors.get(&format!("{norm}.bias")),
                tensors.get(&format!("{conv}.weight")),
                tensors.get(&format!("{conv}.bias")),
            ) else {
                bail!("the norm {norm} has no convolution to be folded into");
            };
            let like = |values: Vec<f64>| {
                let count = values.len();
                Tensor::from_vec(values, count, &Device::Cpu)?
                    .to_dtype(gamma.dtype())?
                    .to_device(gamma.device())
            };
            let inverse = moments
                .variance
                .iter()
                .map(|v| 1.0 / (v + EPSILON).sqrt())
                .collect();
            let scale = (gamma * like(inverse)?)?;
            let mean = like(moments.mean.clone())?;
            let folded_bias = ((bias - mean)? * &scale)?.add(beta)?;
            let folded_weight = weight.broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?;
            tensors.insert(format!("{conv}.weight"), folded_weight.contiguous()?);
            tensors.insert(format!("{conv}.bias"), folded_bias);
        }
        Ok(Self {
            tensors,
            mode: Mode::Folded,
            fused: true,
        })
    }

    /// The same net in another precision; half precision runs by candle's own operations everywhere.
    pub fn to_dtype(mut self, dtype: DType) -> Result<Self> {
        for tensor in self.tensors.values_mut() {
            *tensor = tensor.to_dtype(dtype)?;
        }
        self.fused &= matches!(dtype, DType::F32 | DType::F64);
        Ok(self)
    }

    /// The precision that the net computes in.
    pub fn dtype(&self) -> DType {
        let first = self.tensors.values().next();
        first.map_or(DType::F32, Tensor::dtype)
    }

    fn tensor(&self, name: &str) -> Result<&Tensor> {
        match self.tensors.get(name) {
            Some(tensor) => Ok(tensor),
            None => bail!("the net has no tensor {name}"),
        }
    }

    /// Whether the fused operations can run here.
    fn fuses(&self, x: &Tensor) -> bool {
        self.fused && x.device().is_cpu()
    }

    /// A convolution without norm.
    pub fn conv(&self, x: &Tensor, name: &str, kind: Kind) -> Result<Tensor> {
        let (weight, bias) = self.weight_and_bias(name)?;
        if self.fuses(x) {
            fused::convolution::convolution(kind, x, weight, bias)
        } else {
            ops::convolution(kind, x, weight, bias)
        }
    }

    fn weight_and_bias(&self, name: &str) -> Result<(&Tensor, &Tensor)> {
        Ok((
            self.tensor(&format!("{name}.weight"))?,
            self.tensor(&format!("{name}.bias"))?,
        ))
    }

    /// Convolution `NAME.convPART` and norm `NAME.normPART`.
    fn conv_norm(&self, x: &Tensor, name: &str, part: &str, kind: Kind) -> Result<Tensor> {
        let y = self.conv(x, &format!("{name}.conv{part}"), kind)?;
        let Mode::Training(recorder) = &self.mode else {
            return Ok(y);
        };
        let norm = format!("{name}.norm{part}");
        let (gamma, beta) = self.weight_and_bias(&norm)?;
        let (y, seen) = ops::batch_norm(&y, gamma, beta, EPSILON)?;
        record(recorder, [(norm, seen)]);
        Ok(y)
    }

    /// All parameters of convolutions with norms, one after another, for a fused operation.
    fn flat(&self, name: &str, parts: [&str; 3]) -> Result<Tensor> {
        let mut flat = Vec::new();
        for part in parts {
            let (weight, bias) = self.weight_and_bias(&format!("{name}.conv{part}"))?;
            let (gamma, beta) = self.weight_and_bias(&format!("{name}.norm{part}"))?;
            flat.extend([
                weight.flatten_all()?,
                bias.clone(),
                gamma.clone(),
                beta.clone(),
            ]);
        }
        Tensor::cat(&flat, 0)
    }

    /// Twice 3x3 convolution, norm, ReLU; beside it 1x1 convolution and norm of the input; added, no activation after.
    ///
    /// The input is one tensor, or two whose channels follow each other.
    pub fn double_convolution(
        &self,
        name: &str,
        x: &Tensor,
        other: Option<&Tensor>,
    ) -> Result<Tensor> {
        const PARTS: [&str; 3] = ["1", "2", "_skip"];
        match &self.mode {
            Mode::Training(recorder) if self.fuses(x) => {
                let seen = Seen::default();
                let outputs = self.tensor(&format!("{name}.conv1.bias"))?.elem_count();
                let flat = self.flat(name, PARTS)?;
                let y = fused::double::double_convolution(x, other, &flat, outputs, &seen)?;
                record(recorder, named(name, PARTS, &seen));
                Ok(y)
            }
            Mode::Folded if self.fuses(x) => {
                let of = |part: &str| self.weight_and_bias(&format!("{name}.conv{part}"));
                let convolutions = [of(PARTS[0])?, of(PARTS[1])?, of(PARTS[2])?];
                fused::double::folded_double_convolution(x, other, convolutions)
            }
            _ => {
                let joined = other.map(|other| Tensor::cat(&[x, other], 1)).transpose()?;
                let x = joined.as_ref().unwrap_or(x);
                let y = self.conv_norm(x, name, PARTS[0], Kind::Same3)?.relu()?;
                let y = self.conv_norm(&y, name, PARTS[1], Kind::Same3)?.relu()?;
                y + self.conv_norm(x, name, PARTS[2], Kind::Point)?
            }
        }
    }

    /// The skip map, weighted by where the coarser map (of half its size) says that it matters.
    pub fn attention_gate(&self, name: &str, skip: &Tensor, coarse: &Tensor) -> Result<Tensor> {
        const PARTS: [&str; 3] = ["_map", "_signal", "_weight"];
        match &self.mode {
            Mode::Training(recorder) if self.fuses(skip) => {
                let seen = Seen::default();
                let flat = self.flat(name, PARTS)?;
                let y = fused::gate::attention_gate(skip, coarse, &flat, &seen)?;
                record(recorder, named(name, PARTS, &seen));
                Ok(y)
            }
            Mode::Folded if self.fuses(skip) => {
                let of = |part: &str| self.weight_and_bias(&format!("{name}.conv{part}"));
                let convolutions = [of(PARTS[0])?, of(PARTS[1])?, of(PARTS[2])?];
                fused::gate::folded_attention_gate(skip, coarse, convolutions)
            }
            _ => {
                let map = self.conv_norm(skip, name, PARTS[0], Kind::Down2)?;
                let signal = self.conv_norm(coarse, name, PARTS[1], Kind::Point)?;
                let weight =
                    self.conv_norm(&(map + signal)?.relu()?, name, PARTS[2], Kind::Point)?;
                let weight = candle_nn::ops::sigmoid(&weight)?;
                skip.broadcast_mul(&ops::double(&weight)?)
            }
        }
    }

    /// 2x2 maximum, stride 2.
    pub fn max_pool(&self, x: &Tensor) -> Result<Tensor> {
        if self.fuses(x) {
            fused::pool::max_pool(x)
        } else {
            ops::max_pool(x)
        }
    }

    /// Moves the running moments towards those of the batches seen since (PyTorch's momentum, unbiased variance).
    pub fn update_running(&self, running: &mut Running, momentum: f64) {
        let Mode::Training(recorder) = &self.mode else {
            return;
        };
        let seen = recorder.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, batch) in seen.iter() {
            let Some(kept) = running.get_mut(name) else {
                continue;
            };
            let unbiased = batch.count / (batch.count - 1.0).max(1.0);
            for (kept, seen) in kept.mean.iter_mut().zip(&batch.mean) {
                *kept += momentum * (seen - *kept);
            }
            for (kept, seen) in kept.variance.iter_mut().zip(&batch.variance) {
                *kept += momentum * (seen * unbiased - *kept);
            }
        }
    }
}

fn record(recorder: &Recorder, seen: impl IntoIterator<Item = (String, BatchStatistics)>) {
    recorder
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend(seen);
}

/// What a fused operation saw, by the names of its norms.
fn named(name: &str, parts: [&str; 3], seen: &Seen) -> Vec<(String, BatchStatistics)> {
    let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    parts
        .iter()
        .map(|part| format!("{name}.norm{part}"))
        .zip(seen)
        .collect()
}
