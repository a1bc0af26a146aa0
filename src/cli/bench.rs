//! `peaknet bench`: how long a frame takes on this machine, medians.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::arguments::{NetArguments, OpenArguments};
use super::finder::circles;
use super::output::{line, median, progress, rounded};
use super::simulate;
use super::{Failure, Outcome, nets};
use crate::domain::peaks;
use crate::domain::simulate::Detector;
use crate::io;
use crate::net::predict::Asked;
use crate::net::{Net, speed};

#[derive(Args, Debug)]
pub struct BenchArguments {
    /// A run to time [default: a simulated one, read from a temporary file]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    open: OpenArguments,
    #[command(flatten)]
    net: NetArguments,
    /// The simulated detector
    #[arg(long, value_name = "NAME", default_value = "rayonix", value_parser = PossibleValuesParser::new(Detector::NAMES))]
    detector: String,
    /// How many times
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    repeat: u16,
    /// Threads of the net [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Frames given to the net at once, each timed [default: 1,4 on the CPU, 1,8,32 on a card]
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    batches: Vec<u16>,
    /// Only the stages of one frame, which are also timed without it
    #[arg(long)]
    quick: bool,
    /// Only N training steps: samples a second, patches of 256 x 256 pixels in batches of 4
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    training: Option<u16>,
    /// Writes the first frame's input and logits as safetensors, for other programs to compare
    #[arg(long, value_name = "FILE")]
    logits: Option<PathBuf>,
    /// One JSON value (as without it)
    #[arg(long)]
    json: bool,
}

/// Patches of a training step, as `peaknet train` has them by default.
const PATCH: usize = 256;
const BATCH: usize = 4;

pub fn run(arguments: &BenchArguments) -> Outcome {
    if let Some(threads) = arguments.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(usize::from(threads))
            .build_global()
            .map_err(|error| {
                Failure::could_not(format!(
                    "the number of threads cannot be set ({error}); leave --threads out"
                ))
            })?;
    }
    let net = nets::load(&arguments.net)?;
    if let Some(steps) = arguments.training {
        return line(json!({
            "machine": machine(),
            "threads": rayon::current_num_threads(),
            "device": net.device_name(),
            "training_samples_per_s": training(arguments, &net, usize::from(steps))?,
        }));
    }
    let folder = tempfile::tempdir()?;
    let paths = if arguments.paths.is_empty() {
        let path = folder.path().join("bench.cxi");
        let recipe = simulate::named(&arguments.detector)?;
        simulate::write(&path, &recipe, 1, 0..3, serde_json::Value::Null, false)?;
        vec![path]
    } else {
        arguments.paths.clone()
    };
    let run = io::open_run(&paths, &arguments.open.options())?;
    if let Some(path) = &arguments.logits {
        net.write_logits(&run.read_frame(0)?, path)?;
    }
    let circles = circles(&run.info);
    let asked = Asked::about(&circles);
    let repeat = usize::from(arguments.repeat);
    let bar = progress(repeat, "timing");
    let [mut read, mut network, mut peak, mut total] = [(); 4].map(|()| Vec::with_capacity(repeat));
    // The first pass warms caches and kernels up and does not count.
    for pass in 0..=repeat {
        let start = Instant::now();
        let frame = run.read_frame(pass % run.info.frames.max(1))?;
        let read_done = Instant::now();
        let mut predictions = net.predict(&[&frame], asked)?;
        let net_done = Instant::now();
        for prediction in &mut predictions {
            std::hint::black_box(peaks::settle_peaks(&frame, &mut prediction.classes));
        }
        let end = Instant::now();
        if pass > 0 {
            let ms = |from: Instant, to: Instant| (to - from).as_secs_f64() * 1e3;
            read.push(ms(start, read_done));
            network.push(ms(read_done, net_done));
            peak.push(ms(net_done, end));
            total.push(ms(start, end));
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let multiply_adds = net
        .architecture()
        .multiply_adds(run.info.height, run.info.width);
    let gmac = multiply_adds as f64 / 1e9;
    let (read, network) = (median(&mut read), median(&mut network));
    let mut told = json!({
        "machine": machine(),
        "threads": rayon::current_num_threads(),
        "device": net.device_name(),
        "net": net.name(),
        "parameters": net.architecture().parameters(),
        "gmac": rounded(gmac, 4),
        "frame": format!("{}x{}", run.info.width, run.info.height),
        "dtype": run.info.dtype,
        "filters": run.info.filters,
        "repeat": repeat,
        "read_ms": rounded(read, 4),
        "net_ms": rounded(network, 4),
        "peaks_ms": rounded(median(&mut peak), 4),
        "total_ms": rounded(median(&mut total), 4),
        "peak_memory_mib": crate::memory::peak_mib().map(f64::round),
    });
    if !arguments.quick {
        let more = stages(arguments, &net, &run, folder.path(), (read, network))?;
        if let (Some(told), serde_json::Value::Object(more)) = (told.as_object_mut(), more) {
            told.extend(more);
        }
    }
    line(told)
}

/// What takes longer than one frame: batches, the simulator, training, and a whole run from file to file.
fn stages(
    arguments: &BenchArguments,
    net: &Net,
    run: &io::run::Run,
    folder: &Path,
    (read_ms, net_ms): (f64, f64),
) -> Result<serde_json::Value, Failure> {
    let mut batches = arguments.batches.clone();
    if batches.is_empty() {
        let usual: &[u16] = if net.device_name() == "CPU" {
            &[1, 4]
        } else {
            &[1, 8, 32]
        };
        batches = usual.to_vec();
    }
    let frame = run.read_frame(0)?;
    let mut by_batch = serde_json::Map::new();
    for batch in batches {
        let frames = vec![&frame; usize::from(batch)];
        let mut took = Vec::new();
        for pass in 0..4 {
            let start = Instant::now();
            std::hint::black_box(net.predict(&frames, Asked::default())?);
            if pass > 0 {
                took.push(start.elapsed().as_secs_f64() * 1e3 / f64::from(batch));
            }
        }
        by_batch.insert(batch.to_string(), json!(rounded(median(&mut took), 4)));
    }
    let crop = simulate::part(simulate::named(&arguments.detector)?, 512, 512);
    let start = Instant::now();
    let mut crops = 0;
    while crops < 5 || start.elapsed().as_secs_f64() < 1.0 {
        std::hint::black_box(crate::domain::simulate::simulate(&crop, 1, crops));
        crops += 1;
    }
    let crops_per_s = crops as f64 / start.elapsed().as_secs_f64();
    let samples_per_s = training(arguments, net, usize::from(arguments.repeat))?;
    let (frames_per_s, bound_by) = end_to_end(arguments, folder, (read_ms, net_ms))?;
    Ok(json!({
        "net_ms_per_frame_by_batch": by_batch,
        "simulated_512x512_per_s_per_core": rounded(crops_per_s, 3),
        "training_samples_per_s": samples_per_s,
        "end_to_end_frames_per_s": frames_per_s,
        "end_to_end_bound_by": bound_by,
    }))
}

fn training(arguments: &BenchArguments, net: &Net, steps: usize) -> Result<f64, Failure> {
    let device = arguments.net.device.device;
    let took = speed::training_steps(net.architecture(), PATCH, BATCH, steps, device)?;
    let mut took: Vec<f64> = took.iter().map(Duration::as_secs_f64).collect();
    Ok(rounded(BATCH as f64 / median(&mut took).max(1e-9), 4))
}

/// `peaknet predict` on the run, in a process of its own: frames a second, and what keeps it from more.
fn end_to_end(
    arguments: &BenchArguments,
    folder: &Path,
    (read_ms, net_ms): (f64, f64),
) -> Result<(f64, &'static str), Failure> {
    let simulated = [folder.join("bench.cxi")];
    let paths = if arguments.paths.is_empty() {
        &simulated[..]
    } else {
        &arguments.paths
    };
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.arg("predict").args(paths);
    command
        .arg("--out")
        .arg(folder.join("out.cxi"))
        .arg("--json");
    if let Some(net) = &arguments.net.net {
        command.arg("--net").arg(net);
    }
    let out = command.stderr(std::process::Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    let last = text.lines().last().unwrap_or_default();
    let summary: serde_json::Value = serde_json::from_str(last).unwrap_or_default();
    let number = |name: &str| summary["summary"][name].as_f64();
    let (Some(frames), Some(seconds)) = (number("frames"), number("seconds")) else {
        return Err(Failure::could_not(
            "`peaknet predict` failed on the run to time; try it alone, or add --quick",
        ));
    };
    let ms = seconds * 1e3 / frames.max(1.0);
    // Two threads read ahead of the net, one writes behind it.
    let bound_by = match (read_ms / 2.0, net_ms) {
        (read, net) if ms > 1.5 * read.max(net) => "writing",
        (read, net) if read > net => "reading",
        _ => "net",
    };
    Ok((rounded(frames / seconds.max(1e-9), 4), bound_by))
}

/// The processor's name, as far as the system tells.
fn machine() -> String {
    let named = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
    named.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}
