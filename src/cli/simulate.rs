//! `peaknet simulate`: labelled frames with known truth.

use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::arguments::{calibrant, fraction, size};
use super::output::{line, progress};
use super::reading::made_ahead;
use super::{Failure, Outcome};
use crate::domain::calibrant::Calibrant;
use crate::domain::simulate::{Artifacts, Detector, Recipe, simulate};
use crate::io::simulated::{LabelledHeader, write_labelled_run};

#[derive(Args, Debug)]
pub struct SimulateArguments {
    /// The CXI file to write; RUN.geom appears beside it
    #[arg(long, value_name = "RUN.cxi")]
    out: PathBuf,
    /// How many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    frames: u32,
    /// Which detector
    #[arg(long, value_name = "NAME", default_value = "rayonix", value_parser = PossibleValuesParser::new(Detector::NAMES))]
    detector: String,
    /// Only a part of the detector, about its middle
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<[u32; 2]>,
    /// Kinds of artifacts: none, rings, jet or all
    #[arg(long, value_name = "KIND", default_value = "all", value_parser = artifacts)]
    artifacts: Artifacts,
    /// A powder in the beam: silver-behenate, lab6 or ceo2
    #[arg(long, value_name = "NAME", value_parser = calibrant)]
    calibrant: Option<Calibrant>,
    /// Share of the frames with a crystal
    #[arg(long, value_name = "F", value_parser = fraction)]
    hit_rate: Option<f64>,
    /// Distance from sample to detector in metres
    #[arg(long, value_name = "M", value_parser = super::arguments::positive)]
    distance_m: Option<f64>,
    /// Wavelength in angstrom
    #[arg(long, value_name = "A", value_parser = super::arguments::positive)]
    wavelength_angstrom: Option<f64>,
    /// Where chance begins; the same number gives the same frames
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// One JSON value
    #[arg(long)]
    json: bool,
    /// Replace existing files
    #[arg(long)]
    force: bool,
}

fn artifacts(text: &str) -> Result<Artifacts, String> {
    Artifacts::named(text).ok_or_else(|| "write none, rings, jet or all".to_owned())
}

pub fn run(arguments: &SimulateArguments) -> Outcome {
    let mut recipe = named(&arguments.detector)?;
    recipe.artifacts = arguments.artifacts;
    recipe.calibrant = arguments.calibrant;
    recipe.hit_rate = arguments.hit_rate.unwrap_or(recipe.hit_rate);
    recipe.distance_m = arguments.distance_m.unwrap_or(recipe.distance_m);
    recipe.wavelength_angstrom = arguments
        .wavelength_angstrom
        .unwrap_or(recipe.wavelength_angstrom);
    if let Some([width, height]) = arguments.size {
        recipe = part(recipe, width as usize, height as usize);
    }
    let told = json!({
        "program": concat!("peaknet ", env!("CARGO_PKG_VERSION")),
        "detector": arguments.detector,
        "size": [recipe.detector.width, recipe.detector.height],
        "seed": arguments.seed,
        "hit_rate": recipe.hit_rate,
        "artifacts": format!("{:?}", recipe.artifacts),
        "calibrant": recipe.calibrant.map(Calibrant::name),
    });
    let frames = 0..arguments.frames as usize;
    let totals = write(
        &arguments.out,
        &recipe,
        arguments.seed,
        frames,
        told,
        arguments.force,
    )?;
    if arguments.json {
        return line(json!({
            "frames": arguments.frames,
            "hits": totals.hits,
            "peaks": totals.peaks,
            "width": recipe.detector.width,
            "height": recipe.detector.height,
            "seed": arguments.seed,
            "out": arguments.out,
        }));
    }
    line(format_args!(
        "{} frames, {} with a crystal, {} peaks: {}",
        arguments.frames,
        totals.hits,
        totals.peaks,
        arguments.out.display()
    ))
}

/// The usual recipe of a detector that [`Detector::NAMES`] lists.
pub fn named(detector: &str) -> Result<Recipe, Failure> {
    Recipe::named(detector).ok_or_else(|| {
        Failure::could_not(format!(
            "no detector is called {detector:?}; the simulator knows {}",
            Detector::NAMES.join(", ")
        ))
    })
}

/// The middle of the recipe's detector.
pub fn part(recipe: Recipe, width: usize, height: usize) -> Recipe {
    let start = |whole: usize, part: usize| (whole as i64 - part as i64) / 2;
    let left = start(recipe.detector.width, width);
    let top = start(recipe.detector.height, height);
    Recipe {
        detector: recipe.detector.window(left, top, width, height),
        ..recipe
    }
}

/// How much is in a simulated run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub hits: usize,
    pub peaks: usize,
}

/// Simulates frames in all cores and writes them as one labelled run.
pub fn write(
    out: &Path,
    recipe: &Recipe,
    seed: u64,
    frames: Range<usize>,
    told: serde_json::Value,
    force: bool,
) -> Result<Totals, Failure> {
    let mut totals = Totals::default();
    let bar = progress(frames.len(), "simulating");
    let cores = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(16);
    let make = |number| simulate(recipe, seed, number);
    std::thread::scope(|scope| {
        let mut made = made_ahead(scope, frames, cores, &make)
            .map(|(_, simulated)| simulated)
            .peekable();
        let header = LabelledHeader {
            geometry: made
                .peek()
                .map(|first| first.geometry.clone())
                .unwrap_or_default(),
            detector: recipe.detector.name.clone(),
            recipe: told.to_string(),
        };
        let counted = made.map(|simulated| {
            totals.hits += usize::from(simulated.hit);
            totals.peaks += simulated.peaks.len();
            bar.inc(1);
            Ok(simulated.into())
        });
        write_labelled_run(out, &header, counted, force)
    })?;
    bar.finish_and_clear();
    Ok(totals)
}
