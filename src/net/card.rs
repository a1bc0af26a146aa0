//! The card of a net: its passport on disk, beside the weights.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Error;
use super::architecture::{Architecture, Backbone, HitHead, Neck, RegNet};
use super::standardise::Standardisation;
use crate::domain::peaks::confidence::Confidence;

pub const CARD: &str = "card.toml";
pub const WEIGHTS: &str = "weights.safetensors";
const VERSION: u32 = 1;
/// The paper's parts, of any channels.
pub const ARCHITECTURE: &str = "residual-attention-unet";
/// Other parts, named in the card.
const PARTS: &str = "parts";

/// A set that a net was trained on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetNote {
    /// The set's path, or the recipe of simulated frames.
    pub name: String,
    pub digest: String,
    pub frames: usize,
}

/// The parts of a net that are not the paper's, as the card and the configuration of a training say them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone: Option<BackboneForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neck: Option<NeckForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit_head: Option<HitForm>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum BackboneForm {
    Residual,
    Regnet {
        #[serde(default = "group_width")]
        group_width: usize,
        #[serde(default = "depths")]
        depths: Vec<usize>,
        #[serde(default)]
        squeeze: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum NeckForm {
    Gated,
    Fpn {
        #[serde(default = "neck_channels")]
        channels: usize,
    },
    Bifpn {
        #[serde(default = "neck_channels")]
        channels: usize,
        #[serde(default = "repeats")]
        repeats: usize,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HitForm {
    #[serde(default = "min_peaks")]
    pub min_peaks: usize,
    #[serde(default = "hit_weight")]
    pub weight: f64,
}

fn group_width() -> usize {
    RegNet::default().group_width
}

fn depths() -> Vec<usize> {
    RegNet::default().depths
}

const fn neck_channels() -> usize {
    32
}

const fn repeats() -> usize {
    2
}

fn min_peaks() -> usize {
    HitHead::default().min_peaks
}

fn hit_weight() -> f64 {
    HitHead::default().weight
}

impl Parts {
    fn of(net: &Architecture) -> Self {
        let backbone = match &net.backbone {
            Backbone::Residual => None,
            Backbone::RegNet(of) => Some(BackboneForm::Regnet {
                group_width: of.group_width,
                depths: of.depths.clone(),
                squeeze: of.squeeze,
            }),
        };
        let neck = match net.neck {
            Neck::Gated => None,
            Neck::Fpn { channels } => Some(NeckForm::Fpn { channels }),
            Neck::BiFpn { channels, repeats } => Some(NeckForm::Bifpn { channels, repeats }),
        };
        let hit_head = net.hit_head.map(|head| HitForm {
            min_peaks: head.min_peaks,
            weight: head.weight,
        });
        Self {
            backbone,
            neck,
            hit_head,
        }
    }

    /// The net of these parts; what is not named is the paper's. It still has to be checked.
    pub fn architecture(&self, channels: &[usize]) -> Architecture {
        let backbone = match &self.backbone {
            None | Some(BackboneForm::Residual) => Backbone::Residual,
            Some(BackboneForm::Regnet {
                group_width,
                depths,
                squeeze,
            }) => Backbone::RegNet(RegNet {
                group_width: *group_width,
                depths: depths.clone(),
                squeeze: *squeeze,
            }),
        };
        let neck = match self.neck {
            None | Some(NeckForm::Gated) => Neck::Gated,
            Some(NeckForm::Fpn { channels }) => Neck::Fpn { channels },
            Some(NeckForm::Bifpn { channels, repeats }) => Neck::BiFpn { channels, repeats },
        };
        let hit_head = self.hit_head.as_ref().map(|head| HitHead {
            min_peaks: head.min_peaks,
            weight: head.weight,
        });
        Architecture {
            channels: channels.to_vec(),
            backbone,
            neck,
            hit_head,
        }
    }
}

/// What `card.toml` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    pub version: u32,
    pub name: String,
    pub architecture: String,
    /// Channels of the levels, finest first.
    pub channels: Vec<usize>,
    /// Name and version of the function from frame to input.
    pub standardisation: String,
    pub classes: Vec<String>,
    /// Name and digest of the net that the training started from.
    pub parent: Option<String>,
    pub seed: u64,
    pub epochs: usize,
    pub steps: usize,
    /// UTC, `2026-11-23`.
    pub date: String,
    pub licence: String,
    /// sha256 of the weights file.
    pub weights_digest: String,
    /// Probability that the surest pixel of a peak reaches; none is asked for where the card says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_confidence: Option<f32>,
    /// The same for peaks amid artifacts; as much as anywhere where the card says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_confidence_amid_artifact: Option<f32>,
    #[serde(flatten)]
    pub parts: Parts,
    /// The recipe: learning rate, batch, patch, loss, schedule.
    #[serde(default)]
    pub training: BTreeMap<String, toml::Value>,
    /// Figures on held-out frames, by name.
    #[serde(default)]
    pub scores: BTreeMap<String, f64>,
    #[serde(default)]
    pub sets: Vec<SetNote>,
}

impl Default for Card {
    fn default() -> Self {
        Self {
            version: VERSION,
            name: String::new(),
            architecture: ARCHITECTURE.to_owned(),
            channels: vec![8, 16, 32, 64, 128],
            standardisation: Standardisation::default().name().to_owned(),
            classes: ["background", "peak", "artifact"]
                .map(str::to_owned)
                .to_vec(),
            parent: None,
            seed: 0,
            epochs: 0,
            steps: 0,
            date: String::new(),
            licence: String::new(),
            weights_digest: String::new(),
            peak_confidence: None,
            peak_confidence_amid_artifact: None,
            parts: Parts::default(),
            training: BTreeMap::new(),
            scores: BTreeMap::new(),
            sets: Vec::new(),
        }
    }
}

impl Card {
    /// How sure peaks must be; `None` where the card asks for nothing.
    pub fn confidence(&self) -> Option<Confidence> {
        let anywhere = self.peak_confidence.unwrap_or(0.0);
        let amid_artifact = self.peak_confidence_amid_artifact.unwrap_or(anywhere);
        (anywhere.max(amid_artifact) > 0.0).then_some(Confidence {
            anywhere,
            amid_artifact: amid_artifact.max(anywhere),
        })
    }

    /// Reads and checks the card of a net folder, not its weights.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(CARD);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let why = if error.kind() == std::io::ErrorKind::NotFound {
                "no net here; name a folder with card.toml and weights.safetensors".to_owned()
            } else {
                format!("the net's card cannot be read ({error}); check its permissions")
            };
            Error::new(why, folder)
        })?;
        let card: Self = toml::from_str(&text).map_err(|error| {
            let first = error
                .message()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned();
            Error::new(
                format!("the net's card is damaged ({first}); take a fresh copy of the net"),
                &path,
            )
        })?;
        let unknown = |what: &str, value: &str| {
            let text = format!(
                "the net's {what} `{value}` is unknown to this version; update the program or choose another net"
            );
            Err(Error::new(text, &path))
        };
        let is_probable = |p: Option<f32>| p.is_none_or(|p| (0.0..=1.0).contains(&p));
        if !(is_probable(card.peak_confidence) && is_probable(card.peak_confidence_amid_artifact)) {
            return Err(Error::new(
                "the card's peak_confidence is no probability; correct it or take a fresh copy of the net".to_owned(),
                &path,
            ));
        }
        if card.version != VERSION {
            return unknown("card version", &card.version.to_string());
        }
        let has_parts = card.parts != Parts::default();
        let expected = if has_parts { PARTS } else { ARCHITECTURE };
        if card.architecture != expected {
            return unknown("architecture", &card.architecture);
        }
        if Standardisation::named(&card.standardisation).is_none() {
            return unknown("standardisation", &card.standardisation);
        }
        if let Err(why) = card.architecture() {
            return Err(Error::new(
                format!("the net's parts do not fit ({why}); take a fresh copy of the net"),
                &path,
            ));
        }
        Ok(card)
    }

    /// A card of a net that is made of these parts.
    pub fn of(net: &Architecture) -> Self {
        let parts = Parts::of(net);
        let plain = parts == Parts::default();
        Self {
            architecture: if plain { ARCHITECTURE } else { PARTS }.to_owned(),
            channels: net.channels.clone(),
            parts,
            ..Self::default()
        }
    }

    /// What the net is made of; an error says in half a sentence what cannot be built.
    pub fn architecture(&self) -> Result<Architecture, String> {
        let net = self.parts.architecture(&self.channels);
        net.check().map(|()| net)
    }

    /// One line for lists: date and held-out scores.
    pub fn summary(&self) -> String {
        let mut parts = vec![self.date.clone()];
        for (key, name) in [("peak_f1", "peak F1"), ("artifact_iou", "artifact IoU")] {
            if let Some(score) = self.scores.get(key) {
                parts.push(format!("{name} {score:.2}"));
            }
        }
        parts.retain(|part| !part.is_empty());
        if let Some(frames) = self.scores.get("held_out_frames").filter(|n| **n > 0.0) {
            let kind = if self.sets.iter().all(|set| set.frames == 0) {
                "simulated"
            } else {
                "held-out"
            };
            let plural = if *frames == 1.0 { "" } else { "s" };
            parts.push(format!("on {frames:.0} {kind} frame{plural}"));
        }
        parts.join(", ")
    }

    /// Writes the card beside its weights, over the old one: for scores that come after the training.
    pub fn store(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(CARD);
        let text = self
            .to_toml()
            .map_err(|error| Error::new(format!("the card cannot be written ({error})"), &path))?;
        crate::fs::write_whole(&path, text.as_bytes(), true)
            .map_err(|error| Error::new(error.to_string(), folder))
    }

    pub(super) fn to_toml(&self) -> Result<String, String> {
        toml::to_string(self).map_err(|error| error.to_string())
    }
}

/// sha256 as lower-case hexadecimal digits.
pub fn digest_of(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Today's date in UTC, `2026-11-23`.
pub fn today() -> String {
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    let (year, month, day) = crate::domain::date::civil((seconds / 86_400) as i64);
    format!("{year:04}-{month:02}-{day:02}")
}
