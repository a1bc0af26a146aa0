//! The numbers of a training; all of them are written to the card of the net that it makes.

use std::collections::BTreeMap;

use crate::net::augment::Strength;
use crate::net::head::CLASSES;
use crate::net::standardise::Standardisation;
use crate::net::{Architecture, DeviceChoice, loss};

/// How the learning rate goes after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// Falls as half a cosine over the whole budget, to a fiftieth.
    #[default]
    Cosine,
    /// Falls by a factor when the validation loss no longer falls (the paper's), and towards the end of the budget.
    Plateau,
}

impl Schedule {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Plateau => "plateau",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [Self::Cosine, Self::Plateau]
            .into_iter()
            .find(|s| s.name() == name)
    }
}

/// What forward and backward compute in; parameters, norms, loss and optimiser are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// bf16 on a card, f32 on the CPU.
    #[default]
    Auto,
    Single,
    /// Mixed precision; needs no scaling of the loss, because bf16 has the exponents of f32.
    Bf16,
}

impl Precision {
    pub const ALL: [Self; 3] = [Self::Auto, Self::Single, Self::Bf16];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Single => "f32",
            Self::Bf16 => "bf16",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    /// Whether the net is to compute in bf16 there. The CPU never does: it would only be slower.
    pub const fn is_mixed(self, on_cpu: bool) -> bool {
        !on_cpu && !matches!(self, Self::Single)
    }
}

/// How a net is trained; every number is written to the card.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainConfig {
    /// `None`: the parent's, or without a parent the paper's.
    pub architecture: Option<Architecture>,
    /// `None`: the parent's, or without a parent the default.
    pub standardisation: Option<Standardisation>,
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
    pub schedule: Schedule,
    /// Steps in which the learning rate rises from 0.
    pub warm_up: usize,
    /// Plateau: validations without a better loss before the learning rate falls.
    pub patience: usize,
    pub plateau_factor: f64,
    /// Plateau: the last share of the budget in which the learning rate falls to a fiftieth.
    pub anneal: f64,
    /// The largest norm of the gradient; 0: no limit.
    pub clip: f64,
    /// Decay per step of the averaged weights, which are judged and kept; 0: the trained ones are.
    pub average: f64,
    pub alpha: [f64; CLASSES],
    pub strength: Strength,
    /// Threads that make training patches; they do not change the result.
    pub threads: usize,
    pub precision: Precision,
    pub device: DeviceChoice,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            architecture: None,
            standardisation: None,
            seed: 0,
            patch: 256,
            batch: 4,
            steps_per_epoch: 100,
            epochs: 1000,
            minutes: None,
            learning_rate: 1e-3,
            weight_decay: 1e-4,
            schedule: Schedule::Cosine,
            warm_up: 50,
            patience: 10,
            plateau_factor: 0.2,
            anneal: 0.3,
            clip: 1.0,
            average: 0.998,
            alpha: [1.0, 2.0, 1.2],
            strength: Strength::default(),
            threads: 1,
            precision: Precision::Auto,
            device: DeviceChoice::Auto,
        }
    }
}

impl TrainConfig {
    /// The numbers by name, as the card and the checkpoint have them; what does not change the net's course is left out.
    pub fn recipe(&self, device: &str) -> BTreeMap<String, toml::Value> {
        let number = |value: f64| toml::Value::Float(value);
        let whole = |value: usize| toml::Value::Integer(value as i64);
        let text = |value: &str| toml::Value::String(value.to_owned());
        [
            ("patch", whole(self.patch)),
            ("batch", whole(self.batch)),
            ("steps_per_epoch", whole(self.steps_per_epoch)),
            ("learning_rate", number(self.learning_rate)),
            ("weight_decay", number(self.weight_decay)),
            ("schedule", text(self.schedule.name())),
            ("warm_up", whole(self.warm_up)),
            ("plateau_patience", whole(self.patience)),
            ("plateau_factor", number(self.plateau_factor)),
            ("anneal", number(self.anneal)),
            ("clip", number(self.clip)),
            ("average", number(self.average)),
            ("minutes", number(self.minutes.unwrap_or(0.0))),
            ("focal_gamma", number(loss::GAMMA)),
            (
                "focal_alpha",
                toml::Value::Array(self.alpha.map(number).to_vec()),
            ),
            ("rotated", number(self.strength.rotated)),
            ("shifted", number(self.strength.shifted)),
            ("covered", number(self.strength.covered)),
            ("scaled", number(self.strength.scaled)),
            ("noised", number(self.strength.noised)),
            (
                "precision",
                text(if self.precision.is_mixed(device == "CPU") {
                    "bf16"
                } else {
                    "f32"
                }),
            ),
            ("device", text(device)),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }
}
