//! `peaknet bench`: how long a frame takes on this machine, medians.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::arguments::{NetArguments, OpenArguments};
use super::output::{line, median, progress, rounded};
use super::simulate;
use super::{Outcome, nets};
use crate::domain::peaks;
use crate::domain::simulate::Detector;
use crate::io;

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
    /// One JSON value (as without it)
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &BenchArguments) -> Outcome {
    let net = nets::load(&arguments.net)?;
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
    let repeat = usize::from(arguments.repeat);
    let bar = progress(repeat, "timing");
    let [mut read, mut network, mut peak, mut total] = [(); 4].map(|()| Vec::with_capacity(repeat));
    // The first pass warms caches and kernels up and does not count.
    for pass in 0..=repeat {
        let start = Instant::now();
        let frame = run.read_frame(pass % run.info.frames.max(1))?;
        let read_done = Instant::now();
        let mut predictions = net.predict(&[&frame], None)?;
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
    line(json!({
        "machine": machine(),
        "threads": std::thread::available_parallelism().map_or(1, usize::from),
        "device": net.device_name(),
        "net": net.name(),
        "parameters": net.architecture().parameters(),
        "gmac": rounded(gmac, 4),
        "frame": format!("{}x{}", run.info.width, run.info.height),
        "dtype": run.info.dtype,
        "filters": run.info.filters,
        "repeat": repeat,
        "read_ms": rounded(median(&mut read), 4),
        "net_ms": rounded(median(&mut network), 4),
        "peaks_ms": rounded(median(&mut peak), 4),
        "total_ms": rounded(median(&mut total), 4),
    }))
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
