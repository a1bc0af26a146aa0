//! The network: architecture and weights in memory, its card on disk. Knows frames and sheets, no files but its own.

pub mod architecture;
pub mod augment;
pub mod backbone;
pub mod card;
pub mod catalog;
pub mod conv;
pub mod fused;
pub mod graph;
pub mod head;
pub mod lanes;
pub mod layer;
pub mod loss;
pub mod neck;
pub mod norm;
pub mod objective;
pub mod ops;
pub mod predict;
pub mod prepare;
pub mod quick;
pub mod speed;
pub mod standardise;
pub mod train;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use candle_core::{DType, Device, Tensor, Var};

pub use self::architecture::Architecture;
pub use self::card::Card;
use self::card::{CARD, WEIGHTS, digest_of};
use self::graph::{Builder, Graph, Parameters};
use self::head::hit::Hit;

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
    net: &Architecture,
    seed: u64,
    dtype: DType,
    device: &Device,
) -> candle_core::Result<Parameters> {
    let mut builder = Builder::new(seed, dtype, device);
    for layer in net.layers() {
        builder.layer(&layer)?;
    }
    Ok(builder.finish())
}

/// What a net says of a batch.
pub struct Output {
    /// Logits of the classes (B, 3, H, W).
    pub logits: Tensor,
    /// Where the net has a hit head.
    pub hit: Option<Hit>,
}

/// Runs the net on input (B, 1, H, W); H and W must be multiples of [`Architecture::step`].
///
/// The logits are of the input's precision, whichever the net has.
pub fn forward(graph: &Graph, input: &Tensor, net: &Architecture) -> candle_core::Result<Output> {
    let maps = backbone::forward(graph, &input.to_dtype(graph.dtype())?, net)?;
    let logits = head::forward(graph, &neck::forward(graph, &maps, net)?)?;
    let hit = match (maps.last(), &net.hit_head) {
        (Some(deepest), Some(_)) => Some(head::hit::forward(graph, deepest, &logits)?),
        _ => None,
    };
    Ok(Output {
        logits: logits.to_dtype(input.dtype())?,
        hit,
    })
}

/// A net that is ready to predict.
pub struct Net {
    graph: Graph,
    architecture: Architecture,
    card: Card,
    folder: PathBuf,
    device: Device,
    keeps_ring_peaks: bool,
}

/// What a user asks of a net's peaks otherwise than its card.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wishes {
    /// Probability that the surest pixel of a peak must reach; `None` = as the card says.
    pub confidence: Option<f32>,
    /// The same for peaks with artifacts around them.
    pub confidence_amid_artifact: Option<f32>,
    /// Peaks that lie on rings about the beam stay peaks ([`crate::domain::peaks::circles`]).
    pub keeps_ring_peaks: bool,
}

impl Net {
    /// Loads a net folder; its weights must have the digest that the card names.
    pub fn load(folder: &Path, device: DeviceChoice) -> Result<Self, Error> {
        let card = Card::load(folder)?;
        let device = open_device(device)?;
        let parameters = load_parameters(folder, &card, &device)?;
        // A card computes twice as fast in half precision, which has digits enough for a class.
        let precision = if device.is_cuda() {
            DType::F16
        } else {
            DType::F32
        };
        let graph = Graph::folded(&parameters).and_then(|graph| graph.to_dtype(precision));
        let graph = graph.map_err(|error| {
            Error::new(
                format!("the net's weights do not fit together ({error}); take a fresh copy"),
                folder,
            )
        })?;
        Ok(Self {
            graph,
            architecture: card.architecture().map_err(|why| Error::new(why, folder))?,
            card,
            folder: folder.to_owned(),
            device,
            keeps_ring_peaks: false,
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
            architecture: card.architecture().map_err(candle_core::Error::msg)?,
            card,
            folder: PathBuf::new(),
            device: device.clone(),
            keeps_ring_peaks: false,
        })
    }

    pub const fn card(&self) -> &Card {
        &self.card
    }

    /// Asks something else of peaks than the card does.
    pub fn grant(&mut self, wishes: &Wishes) {
        let card = &mut self.card;
        card.peak_confidence = wishes.confidence.or(card.peak_confidence);
        let amid_artifact = wishes.confidence_amid_artifact;
        card.peak_confidence_amid_artifact = amid_artifact.or(card.peak_confidence_amid_artifact);
        self.keeps_ring_peaks = wishes.keeps_ring_peaks;
    }

    pub const fn architecture(&self) -> &Architecture {
        &self.architecture
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

/// The tensors of a net folder, on the CPU; their digest must be the card's.
pub fn load_tensors(folder: &Path, card: &Card) -> Result<HashMap<String, Tensor>, Error> {
    let path = folder.join(WEIGHTS);
    let bytes = std::fs::read(&path).map_err(|error| {
        Error::new(
            format!("the net's weights cannot be read ({error}); take a fresh copy of the net"),
            &path,
        )
    })?;
    if digest_of(&bytes) != card.weights_digest {
        return Err(damaged(folder, "their digest is not the card's"));
    }
    candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
        .map_err(|error| damaged(folder, &error.to_string()))
}

fn damaged(folder: &Path, why: &str) -> Error {
    Error::new(
        format!("the net's weights are damaged ({why}); take a fresh copy of the net"),
        &folder.join(WEIGHTS),
    )
}

/// Trainable parameters from a net folder.
pub fn load_parameters(folder: &Path, card: &Card, device: &Device) -> Result<Parameters, Error> {
    let tensors = load_tensors(folder, card)?;
    let architecture = card
        .architecture()
        .map_err(|why| Error::new(why, &folder.join(CARD)))?;
    let mut parameters = declare(&architecture, 0, DType::F32, device)
        .map_err(|error| damaged(folder, &error.to_string()))?;
    fill(&mut parameters, &tensors, device).map_err(|why| damaged(folder, &why))?;
    Ok(parameters)
}

/// Parameters to start a training of `net` from: the parent's where it has them, else seeded ones.
///
/// Returns how many tensors were taken over and how many are fresh. Errors: a parent that cannot be read.
pub fn start_from(
    folder: &Path,
    card: &Card,
    net: &Architecture,
    seed: u64,
    device: &Device,
) -> Result<(Parameters, usize, usize), Error> {
    let tensors = load_tensors(folder, card)?;
    let failed = |error: candle_core::Error| damaged(folder, &error.to_string());
    let mut parameters = declare(net, seed, DType::F32, device).map_err(failed)?;
    let (taken, fresh) = take_over(&mut parameters, &tensors).map_err(failed)?;
    Ok((parameters, taken, fresh))
}

/// Takes over every tensor of another net that has the same name and shape; the others stay as they are.
///
/// Returns how many were taken and how many were not. The two moments of a norm go together.
pub fn take_over(
    parameters: &mut Parameters,
    tensors: &HashMap<String, Tensor>,
) -> candle_core::Result<(usize, usize)> {
    let (mut taken, mut fresh) = (0, 0);
    for (name, var) in &mut parameters.vars {
        match tensors.get(name).filter(|t| t.shape() == var.shape()) {
            Some(tensor) => {
                let tensor = tensor.to_dtype(var.dtype())?.to_device(var.device())?;
                *var = Var::from_tensor(&tensor)?;
                taken += 1;
            }
            None => fresh += 1,
        }
    }
    for (name, moments) in &mut parameters.running {
        let numbers = |suffix: &str| -> candle_core::Result<Option<Vec<f64>>> {
            let count = moments.mean.len();
            let found = tensors.get(&format!("{name}.{suffix}"));
            let found = found.filter(|tensor| tensor.dims() == [count]);
            found
                .map(|tensor| tensor.to_dtype(DType::F64)?.to_vec1::<f64>())
                .transpose()
        };
        match (numbers("running_mean")?, numbers("running_var")?) {
            (Some(mean), Some(variance)) => {
                (moments.mean, moments.variance) = (mean, variance);
                taken += 2;
            }
            _ => fresh += 2,
        }
    }
    Ok((taken, fresh))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A net with a level more starts as its parent where the parent has tensors, and as its seed elsewhere.
    #[test]
    fn a_deeper_net_takes_over_its_parents_tensors() {
        let parent = Architecture::plain(&[2, 3, 4]);
        let child = Architecture::plain(&[2, 3, 4, 4]);
        let made = |net: &Architecture, seed| declare(net, seed, DType::F32, &Device::Cpu).unwrap();
        let mut from = made(&parent, 1);
        for moments in from.running.values_mut() {
            moments.mean.fill(0.25);
        }
        let (mut ours, untouched) = (made(&child, 2), made(&child, 2));
        let counts = take_over(&mut ours, &tensors_of(&from).unwrap()).unwrap();
        assert_eq!(counts, child.shared_with(&parent));
        let cells = |var: &Var| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (name, var) in &ours.vars {
            let expected = from.vars.get(name).unwrap_or(&untouched.vars[name]);
            assert_eq!(cells(var), cells(expected), "{name}");
        }
        for (name, moments) in &ours.running {
            let is_new = !from.running.contains_key(name);
            assert_eq!(moments.mean[0] == 0.0, is_new, "{name}");
        }
    }
}
