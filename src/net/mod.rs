//! The network: architecture and weights in memory, its card on disk. Knows frames and sheets, no files but its own.

pub mod augment;
pub mod backbone;
pub mod card;
pub mod catalog;
pub mod conv;
pub mod fused;
pub mod graph;
pub mod head;
pub mod lanes;
pub mod loss;
pub mod neck;
pub mod norm;
pub mod ops;
pub mod predict;
pub mod prepare;
pub mod train;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use candle_core::{DType, Device, Tensor, Var};

pub use self::card::Card;
use self::card::{CARD, WEIGHTS, digest_of};
use self::graph::{Builder, Graph, Parameters};

/// What went wrong with a net: one sentence with its cure, then the path.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {path}", path = path.display())]
pub struct Error {
    pub what: String,
    pub path: PathBuf,
}

impl Error {
    pub fn new(what: impl Into<String>, path: &Path) -> Self {
        Self {
            what: what.into(),
            path: path.to_owned(),
        }
    }
}

/// Where a net computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// CUDA where it is built in and present, else the CPU.
    #[default]
    Auto,
    Cpu,
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("`{text}` is no device; use auto, cpu, cuda or cuda:N")),
        }
    }
}

/// Opens a device; a missing card is a sentence, for `Auto` the CPU.
pub fn open_device(choice: DeviceChoice) -> Result<Device, Error> {
    let try_cuda = |number: usize| {
        // candle may panic where the driver's library is missing.
        std::panic::catch_unwind(|| Device::new_cuda(number))
            .map_err(|_| "the CUDA driver is missing".to_owned())
            .and_then(|device| device.map_err(|error| error.to_string()))
    };
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto if !cfg!(feature = "cuda") => Ok(Device::Cpu),
        DeviceChoice::Auto => Ok(try_cuda(0).unwrap_or(Device::Cpu)),
        DeviceChoice::Cuda(number) => try_cuda(number).map_err(|reason| {
            let first = reason.lines().next().unwrap_or_default();
            let cure = if cfg!(feature = "cuda") {
                "check the driver with nvidia-smi, or use --device cpu"
            } else {
                "this program was built without CUDA, use --device cpu"
            };
            Error::new(
                format!("no CUDA device ({first}); {cure}"),
                Path::new(&format!("cuda:{number}")),
            )
        }),
    }
}

/// Makes the parameters of a net with seeded random values.
pub fn declare(
    channels: &[usize],
    seed: u64,
    dtype: DType,
    device: &Device,
) -> candle_core::Result<Parameters> {
    let mut builder = Builder::new(seed, dtype, device);
    backbone::declare(&mut builder, channels)?;
    neck::declare(&mut builder, channels)?;
    head::declare(&mut builder, channels)?;
    Ok(builder.finish())
}

/// Logits (B, 3, H, W) of input (B, 1, H, W); H and W must be multiples of 2^(levels - 1).
pub fn forward(graph: &Graph, input: &Tensor, channels: &[usize]) -> candle_core::Result<Tensor> {
    let maps = backbone::forward(graph, input, channels.len())?;
    head::forward(graph, &neck::forward(graph, &maps)?)
}

/// A net that is ready to predict.
pub struct Net {
    graph: Graph,
    card: Card,
    folder: PathBuf,
    device: Device,
}

impl Net {
    /// Loads a net folder; its weights must have the digest that the card names.
    pub fn load(folder: &Path, device: DeviceChoice) -> Result<Self, Error> {
        let card = Card::load(folder)?;
        let device = open_device(device)?;
        let parameters = load_parameters(folder, &card, &device)?;
        let graph = Graph::folded(&parameters).map_err(|error| {
            Error::new(
                format!("the net's weights do not fit together ({error}); take a fresh copy"),
                folder,
            )
        })?;
        Ok(Self {
            graph,
            card,
            folder: folder.to_owned(),
            device,
        })
    }

    /// A net straight from parameters, as training has them.
    pub fn from_parameters(
        parameters: &Parameters,
        card: Card,
        device: &Device,
    ) -> candle_core::Result<Self> {
        Ok(Self {
            graph: Graph::folded(parameters)?,
            card,
            folder: PathBuf::new(),
            device: device.clone(),
        })
    }

    pub const fn card(&self) -> &Card {
        &self.card
    }

    pub fn name(&self) -> &str {
        &self.card.name
    }

    /// sha256 of the weights.
    pub fn digest(&self) -> &str {
        &self.card.weights_digest
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `CPU`, `CUDA 0`.
    pub fn device_name(&self) -> String {
        match self.device.location() {
            candle_core::DeviceLocation::Cuda { gpu_id } => format!("CUDA {gpu_id}"),
            _ => "CPU".to_owned(),
        }
    }
}

/// Trainable parameters from a net folder.
pub fn load_parameters(folder: &Path, card: &Card, device: &Device) -> Result<Parameters, Error> {
    let path = folder.join(WEIGHTS);
    let damaged = |why: String| {
        Error::new(
            format!("the net's weights are damaged ({why}); take a fresh copy of the net"),
            &path,
        )
    };
    let bytes = std::fs::read(&path).map_err(|error| {
        Error::new(
            format!("the net's weights cannot be read ({error}); take a fresh copy of the net"),
            &path,
        )
    })?;
    if digest_of(&bytes) != card.weights_digest {
        return Err(damaged("their digest is not the card's".to_owned()));
    }
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
        .map_err(|error| damaged(error.to_string()))?;
    let mut parameters = declare(&card.channels, 0, DType::F32, device)
        .map_err(|error| damaged(error.to_string()))?;
    fill(&mut parameters, &tensors, device).map_err(damaged)?;
    Ok(parameters)
}

/// Puts tensors of a checkpoint into parameters of the same names and shapes.
pub fn fill(
    parameters: &mut Parameters,
    tensors: &HashMap<String, Tensor>,
    device: &Device,
) -> Result<(), String> {
    let find = |name: String| tensors.get(&name).ok_or(format!("no tensor {name}"));
    let said = |error: candle_core::Error| error.to_string();
    for (name, var) in &mut parameters.vars {
        let tensor = find(name.clone())?.to_dtype(var.dtype()).map_err(said)?;
        if tensor.shape() != var.shape() {
            return Err(format!("{name} has another shape"));
        }
        let tensor = tensor.to_device(device).map_err(said)?;
        *var = Var::from_tensor(&tensor).map_err(said)?;
    }
    for (name, moments) in &mut parameters.running {
        let numbers = |suffix: &str| -> Result<Vec<f64>, String> {
            let tensor = find(format!("{name}.{suffix}"))?;
            let tensor = tensor.to_dtype(DType::F64).map_err(said)?;
            tensor.to_vec1::<f64>().map_err(said)
        };
        let (mean, variance) = (numbers("running_mean")?, numbers("running_var")?);
        if mean.len() != moments.mean.len() || variance.len() != moments.variance.len() {
            return Err(format!("{name} has another shape"));
        }
        (moments.mean, moments.variance) = (mean, variance);
    }
    Ok(())
}

/// The tensors of a checkpoint.
pub fn tensors_of(parameters: &Parameters) -> candle_core::Result<HashMap<String, Tensor>> {
    let mut tensors = HashMap::new();
    for (name, var) in &parameters.vars {
        let tensor = var.as_tensor().detach().to_device(&Device::Cpu)?;
        tensors.insert(name.clone(), tensor.copy()?);
    }
    for (name, moments) in &parameters.running {
        let row = |values: &[f64]| {
            Tensor::from_vec(values.to_vec(), values.len(), &Device::Cpu)?.to_dtype(DType::F32)
        };
        tensors.insert(format!("{name}.running_mean"), row(&moments.mean)?);
        tensors.insert(format!("{name}.running_var"), row(&moments.variance)?);
    }
    Ok(tensors)
}

/// Writes a net folder whole or not at all; the digest is filled in. An existing folder is only replaced when asked.
pub fn save(
    tensors: &HashMap<String, Tensor>,
    card: &Card,
    folder: &Path,
    replace: bool,
) -> Result<Card, Error> {
    let failed = |why: String| Error::new(format!("the net cannot be written ({why})"), folder);
    if folder.exists() && !replace {
        return Err(Error::new(
            "a net of this name exists; choose another name or add --force",
            folder,
        ));
    }
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent).map_err(|e| failed(e.to_string()))?;
    let scratch = tempfile::Builder::new()
        .prefix(".net-")
        .tempdir_in(parent)
        .map_err(|e| failed(e.to_string()))?;
    let weights = scratch.path().join(WEIGHTS);
    candle_core::safetensors::save(tensors, &weights).map_err(|e| failed(e.to_string()))?;
    let bytes = std::fs::read(&weights).map_err(|e| failed(e.to_string()))?;
    let mut card = card.clone();
    card.weights_digest = digest_of(&bytes);
    let text = card.to_toml().map_err(&failed)?;
    crate::fs::write_whole(&scratch.path().join(CARD), text.as_bytes(), true)
        .map_err(|e| failed(e.to_string()))?;
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(|e| failed(e.to_string()))?;
    }
    let made = scratch.keep();
    std::fs::rename(&made, folder).map_err(|e| failed(e.to_string()))?;
    // A temporary folder is private; a net is not.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder, open).map_err(|e| failed(e.to_string()))?;
        for file in [CARD, WEIGHTS] {
            let readable = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(folder.join(file), readable)
                .map_err(|e| failed(e.to_string()))?;
        }
    }
    Ok(card)
}
