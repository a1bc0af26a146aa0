//! One convolution of a net, with the norm that may follow it: its name, its shape, what it costs.

use super::conv::Kind;

/// A convolution with bias and perhaps a norm after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Name in a checkpoint; that of its norm has `norm` for `conv`.
    pub name: String,
    pub kind: Kind,
    pub inputs: usize,
    pub outputs: usize,
    pub norm: bool,
    /// Level of its output map; `None` for what is one pixel a frame.
    pub level: Option<usize>,
}

impl Layer {
    pub fn new(name: String, kind: Kind, inputs: usize, outputs: usize, level: usize) -> Self {
        Self {
            name,
            kind,
            inputs,
            outputs,
            norm: false,
            level: Some(level),
        }
    }

    #[must_use]
    pub fn with_norm(self) -> Self {
        Self { norm: true, ..self }
    }

    /// The name of the norm, where there is one.
    pub fn norm_name(&self) -> Option<String> {
        self.norm.then(|| self.name.replace("conv", "norm"))
    }

    /// Shape of the weights as PyTorch has it.
    pub const fn shape(&self) -> [usize; 4] {
        self.kind.shape(self.inputs, self.outputs)
    }

    /// Inputs of one output cell.
    pub const fn fan(&self) -> usize {
        match self.kind {
            Kind::Same3 => self.inputs * 9,
            Kind::Down2 => self.inputs * 4,
            Kind::Point | Kind::Up2 => self.inputs,
        }
    }

    /// Multiplications for one pixel of the output map.
    pub const fn multiply_adds(&self) -> u64 {
        (self.fan() * self.outputs) as u64
    }

    pub fn parameters(&self) -> usize {
        let norm = if self.norm { 2 * self.outputs } else { 0 };
        self.shape().iter().product::<usize>() + self.outputs + norm
    }

    /// How many pixels of the frame it looks further.
    pub const fn reach(&self) -> usize {
        match (self.kind, self.level) {
            (Kind::Same3, Some(level)) => 1 << level,
            _ => 0,
        }
    }

    /// Names and shapes of all its tensors in a checkpoint.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let row = |name: &str, part: &str| (format!("{name}.{part}"), vec![self.outputs]);
        let mut tensors = vec![
            (format!("{}.weight", self.name), self.shape().to_vec()),
            row(&self.name, "bias"),
        ];
        if let Some(norm) = self.norm_name() {
            let parts = ["weight", "bias", "running_mean", "running_var"];
            tensors.extend(parts.map(|part| row(&norm, part)));
        }
        tensors
    }
}
