//! `peaknet check`: everything wrong with a run, one problem a line.

use clap::Args;
use serde_json::json;

use super::arguments::{FrameRange, RunArguments, frames};
use super::output::{line, progress};
use super::reading::read_ahead;
use super::{Failure, Outcome};
use crate::domain::frame::RunInfo;

#[derive(Args, Debug)]
pub struct CheckArguments {
    #[command(flatten)]
    run: RunArguments,
    /// Only these frames, as A..B (half open)
    #[arg(long, value_name = "A..B", value_parser = frames)]
    frames: Option<FrameRange>,
    /// One JSON line a problem, then a summary
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &CheckArguments) -> Outcome {
    let run = arguments.run.open()?;
    let range = FrameRange::within(arguments.frames, run.info.frames)?;
    let mut problems = 0_usize;
    let mut tell = |frame: Option<usize>, problem: &str| {
        problems += 1;
        match (arguments.json, frame) {
            (true, _) => line(json!({ "frame": frame, "problem": problem })),
            (false, Some(frame)) => line(format_args!("frame {frame}: {problem}")),
            (false, None) => line(problem),
        }
    };
    for notice in run
        .info
        .notices
        .iter()
        .cloned()
        .chain(implausible(&run.info))
    {
        tell(None, &notice)?;
    }
    let bar = progress(range.len(), "checking");
    read_ahead(&run, range.clone(), 2, |number, read| {
        bar.inc(1);
        match read.result {
            Err(error) => tell(Some(number), &error.to_string()),
            Ok(frame) => run
                .problems(&frame)
                .iter()
                .try_for_each(|problem| tell(Some(number), problem)),
        }
    })?;
    bar.finish_and_clear();
    if arguments.json {
        line(json!({ "summary": { "frames": range.len(), "problems": problems } }))?;
    }
    match problems {
        0 => Ok(()),
        _ => Err(Failure::Problems(None)),
    }
}

/// Numbers of the geometry that cannot be meant.
fn implausible(info: &RunInfo) -> Vec<String> {
    let mut problems = Vec::new();
    let geometry = &info.geometry;
    let mut outside =
        |value: Option<f64>, range: std::ops::RangeInclusive<f64>, what: &str, option: &str| {
            if let Some(value) = value.filter(|value| !range.contains(value)) {
                problems.push(format!("{what} of {value} is not plausible; give {option}"));
            }
        };
    outside(
        geometry.wavelength_angstrom,
        0.01..=100.0,
        "a wavelength in angstrom",
        "--wavelength-angstrom",
    );
    outside(
        geometry.detector_distance_m,
        0.001..=100.0,
        "a distance in metres",
        "--distance-m",
    );
    outside(
        geometry.pixel_size_m.map(|[x, _]| x),
        1e-6..=1e-2,
        "a pixel size in metres",
        "--pixel-size-m",
    );
    if let Some([x, y]) = geometry.beam_center_px {
        // Modules may lie far from the beam, but not ten of their own lengths.
        let far = 10.0 * info.width.max(info.height) as f64;
        if x.abs().max(y.abs()) > far {
            problems.push(format!(
                "a beam centre of {:.1}, {:.1} px lies far outside the frame; give --beam-center-px",
                x - 0.5,
                y - 0.5
            ));
        }
    }
    problems
}
