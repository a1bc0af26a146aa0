//! The parameters of a net by name, and the one block that every part is made of: convolution, norm, ReLU.
//!
//! A graph runs in one of two ways. *Training* normalises by the moments of the batch and records them; *folded* has each
//! norm multiplied into the convolution before it, which costs nothing, and its tensors are detached, so that
//! prediction keeps no gradient graph.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Result, Tensor, Var, bail};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;

use super::ops::{self, Moments};
use super::resample;

pub const EPSILON: f64 = 1e-5;

/// The shape of a convolution of the net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 3x3, padding 1.
    Three,
    /// 1x1.
    One,
    /// 2x2, stride 2: halves the image.
    Down,
    /// 2x2 transposed, stride 2: doubles the image.
    Up,
}

impl Kind {
    /// Shape of the weight in a checkpoint, as PyTorch's `Conv2d` and `ConvTranspose2d` have it.
    const fn shape(self, inputs: usize, outputs: usize) -> [usize; 4] {
        match self {
            Self::Three => [outputs, inputs, 3, 3],
            Self::One => [outputs, inputs, 1, 1],
            Self::Down => [outputs, inputs, 2, 2],
            Self::Up => [inputs, outputs, 2, 2],
        }
    }
}

/// Running moments of the norms, by name of the norm.
pub type Running = BTreeMap<String, Moments>;

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

    pub fn conv(&mut self, name: &str, kind: Kind, inputs: usize, outputs: usize) -> Result<()> {
        let shape = kind.shape(inputs, outputs);
        let fan = match kind {
            Kind::Three => inputs * 9,
            Kind::Down => inputs * 4,
            Kind::One | Kind::Up => inputs,
        };
        let deviation = (2.0 / fan as f64).sqrt();
        let count = shape.iter().product::<usize>();
        let normal = StandardNormal;
        let values = (0..count)
            .map(|_| {
                let value: f64 = normal.sample(&mut self.rng);
                value * deviation
            })
            .collect();
        self.add(format!("{name}.weight"), values, &shape)?;
        self.add(format!("{name}.bias"), vec![0.0; outputs], &[outputs])
    }

    pub fn norm(&mut self, name: &str, channels: usize) -> Result<()> {
        self.add(format!("{name}.weight"), vec![1.0; channels], &[channels])?;
        self.add(format!("{name}.bias"), vec![0.0; channels], &[channels])?;
        self.parameters.running.insert(
            name.to_owned(),
            Moments {
                mean: vec![0.0; channels],
                variance: vec![1.0; channels],
                count: 0,
            },
        );
        Ok(())
    }

    pub fn finish(self) -> Parameters {
        self.parameters
    }
}

enum Mode {
    Training(Mutex<Running>),
    Folded,
}

/// Tensors by name, ready to run.
pub struct Graph {
    tensors: BTreeMap<String, Tensor>,
    mode: Mode,
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
            mode: Mode::Training(Mutex::new(Running::new())),
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
        })
    }

    fn tensor(&self, name: &str) -> Result<&Tensor> {
        match self.tensors.get(name) {
            Some(tensor) => Ok(tensor),
            None => bail!("the net has no tensor {name}"),
        }
    }

    /// A convolution without norm.
    pub fn conv(&self, x: &Tensor, name: &str, kind: Kind, relu: bool) -> Result<Tensor> {
        let weight = self.tensor(&format!("{name}.weight"))?;
        let bias = self.tensor(&format!("{name}.bias"))?;
        match kind {
            Kind::Three => ops::conv3(x, weight, bias, relu),
            Kind::One => product(x, weight, bias, relu),
            Kind::Down => product(&resample::cells_to_channels(x)?, weight, bias, relu),
            Kind::Up => {
                let (inputs, outputs, _, _) = weight.dims4()?;
                let turned = weight
                    .reshape((inputs, outputs * 4))?
                    .t()?
                    .contiguous()?
                    .reshape((outputs * 4, inputs, 1, 1))?;
                let spread = bias
                    .reshape((outputs, 1))?
                    .broadcast_as((outputs, 4))?
                    .reshape(outputs * 4)?;
                resample::channels_to_cells(&product(x, &turned, &spread, relu)?)
            }
        }
    }

    /// Convolution `NAMEconvSUFFIX`, norm `NAMEnormSUFFIX`, ReLU where asked; `name` is that of the convolution.
    pub fn conv_norm(&self, x: &Tensor, name: &str, kind: Kind, relu: bool) -> Result<Tensor> {
        let Mode::Training(recorder) = &self.mode else {
            return self.conv(x, name, kind, relu);
        };
        let x = self.conv(x, name, kind, false)?;
        let norm = name.replace("conv", "norm");
        let gamma = self.tensor(&format!("{norm}.weight"))?;
        let beta = self.tensor(&format!("{norm}.bias"))?;
        let (y, moments) = ops::batch_norm(&x, gamma, beta, EPSILON, relu)?;
        recorder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(norm, moments);
        Ok(y)
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
            let count = batch.count as f64;
            let unbiased = count / (count - 1.0).max(1.0);
            for (kept, seen) in kept.mean.iter_mut().zip(&batch.mean) {
                *kept += momentum * (seen - *kept);
            }
            for (kept, seen) in kept.variance.iter_mut().zip(&batch.variance) {
                *kept += momentum * (seen * unbiased - *kept);
            }
            kept.count += 1;
        }
    }
}

/// A 1x1 convolution as a matrix product over channels; the weight is (O, I, 1, 1) or folds to (O, I).
fn product(x: &Tensor, weight: &Tensor, bias: &Tensor, relu: bool) -> Result<Tensor> {
    let (batch, inputs, height, width) = x.dims4()?;
    let outputs = weight.dim(0)?;
    let weight = weight.reshape((1, outputs, inputs))?;
    let weight = weight.broadcast_as((batch, outputs, inputs))?;
    let x = x.reshape((batch, inputs, height * width))?;
    let y = weight
        .contiguous()?
        .matmul(&x)?
        .broadcast_add(&bias.reshape((1, outputs, 1))?)?;
    let y = if relu { y.relu()? } else { y };
    y.reshape((batch, outputs, height, width))
}
