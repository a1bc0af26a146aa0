//! One convolution of a net, with the norm that may follow it: its name, its shape, what it costs.

use super::conv::Kind;
use super::fused::group::Group;

/// What a layer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Kind(Kind),
    Group(Group),
    /// Weights of a fusion alone, one per input, all 1 at the start; no convolution.
    Fusion,
}

impl From<Kind> for Form {
    fn from(kind: Kind) -> Self {
        Self::Kind(kind)
    }
}

impl From<Group> for Form {
    fn from(group: Group) -> Self {
        Self::Group(group)
    }
}

/// A convolution with bias and perhaps a norm after it, or the weights of a fusion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Name in a checkpoint; that of its norm has `norm` for `conv`.
    pub name: String,
    pub form: Form,
    pub inputs: usize,
    pub outputs: usize,
    pub norm: bool,
    /// Level of its output map; `None` for what is one pixel a frame.
    pub level: Option<usize>,
}

impl Layer {
    pub fn new(
        name: String,
        form: impl Into<Form>,
        inputs: usize,
        outputs: usize,
        level: usize,
    ) -> Self {
        Self {
            name,
            form: form.into(),
            inputs,
            outputs,
            norm: false,
            level: Some(level),
        }
    }

    /// A 1x1 convolution of what is one pixel a frame.
    pub fn pooled(name: String, inputs: usize, outputs: usize) -> Self {
        Self {
            level: None,
            ..Self::new(name, Kind::Point, inputs, outputs, 0)
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
    pub fn shape(&self) -> Vec<usize> {
        match self.form {
            Form::Kind(kind) => kind.shape(self.inputs, self.outputs).to_vec(),
            Form::Group(group) => group.shape(self.inputs, self.outputs).to_vec(),
            Form::Fusion => vec![self.inputs],
        }
    }

    /// Inputs of one output cell.
    pub const fn fan(&self) -> usize {
        match self.form {
            Form::Kind(Kind::Same3) => self.inputs * 9,
            Form::Kind(Kind::Down2) => self.inputs * 4,
            Form::Kind(Kind::Point | Kind::Up2) => self.inputs,
            Form::Group(group) => self.inputs / group.groups * group.kernel * group.kernel,
            Form::Fusion => 0,
        }
    }

    /// Multiplications for one pixel of the output map.
    pub const fn multiply_adds(&self) -> u64 {
        (self.fan() * self.outputs) as u64
    }

    /// How many numbers the training can change.
    pub fn parameters(&self) -> usize {
        let trained = |(name, _): &(String, Vec<usize>)| !name.contains(".running_");
        let tensors = self.tensors().into_iter().filter(trained);
        tensors
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum()
    }

    /// How many pixels of the frame it looks further.
    pub const fn reach(&self) -> usize {
        match (self.form, self.level) {
            (Form::Kind(Kind::Same3) | Form::Group(Group { kernel: 3, .. }), Some(level)) => {
                1 << level
            }
            _ => 0,
        }
    }

    /// Names and shapes of all its tensors in a checkpoint.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        if self.form == Form::Fusion {
            return vec![(self.name.clone(), self.shape())];
        }
        let row = |name: &str, part: &str| (format!("{name}.{part}"), vec![self.outputs]);
        let mut tensors = vec![
            (format!("{}.weight", self.name), self.shape()),
            row(&self.name, "bias"),
        ];
        if let Some(norm) = self.norm_name() {
            let parts = ["weight", "bias", "running_mean", "running_var"];
            tensors.extend(parts.map(|part| row(&norm, part)));
        }
        tensors
    }
}
