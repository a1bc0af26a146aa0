//! `peaknet info`: what a run is.

use clap::Args;
use serde_json::{Value, json};

use super::Outcome;
use super::arguments::RunArguments;
use super::output::{line, rounded};
use crate::domain::frame::RunInfo;

#[derive(Args, Debug)]
pub struct InfoArguments {
    #[command(flatten)]
    run: RunArguments,
    /// One JSON value
    #[arg(long)]
    json: bool,
}

/// The order in which people read them.
const ORDER: [&str; 15] = [
    "name",
    "format",
    "frames",
    "width",
    "height",
    "dtype",
    "dataset",
    "filters",
    "detector",
    "panels",
    "wavelength_angstrom",
    "distance_m",
    "pixel_size_m",
    "beam_center_px",
    "notices",
];

pub fn run(arguments: &InfoArguments) -> Outcome {
    let run = arguments.run.open()?;
    if arguments.json {
        return line(facts(&run.info));
    }
    let facts = facts(&run.info);
    for key in ORDER {
        let value = facts.get(key).cloned().unwrap_or_default();
        let text = match value {
            Value::Null => "unknown".to_owned(),
            Value::String(text) => text,
            Value::Array(values) if key == "notices" => {
                for notice in values {
                    line(format_args!(
                        "notice: {}",
                        notice.as_str().unwrap_or_default()
                    ))?;
                }
                continue;
            }
            Value::Array(values) => {
                let words = values.iter().map(|value| {
                    value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned)
                });
                words.collect::<Vec<_>>().join(", ")
            }
            value => value.to_string(),
        };
        line(format_args!("{key}: {text}"))?;
    }
    Ok(())
}

/// The facts under the names that scripts rely on; what is unknown is null, positions start at 0.0.
pub fn facts(info: &RunInfo) -> Value {
    let geometry = &info.geometry;
    // Nine digits: enough for every detector, and no 0.17199999999999998.
    let short = |value: f64| rounded(value, 9);
    let pixel_size = geometry.pixel_size_m.map(|size| match size.map(short) {
        [x, y] if x == y => json!(x),
        [x, y] => json!([x, y]),
    });
    json!({
        "name": info.name,
        "frames": info.frames,
        "width": info.width,
        "height": info.height,
        "dtype": info.dtype,
        "format": info.format,
        "dataset": info.dataset,
        "filters": info.filters,
        "detector": info.detector,
        "panels": geometry.panels.len().max(1),
        "wavelength_angstrom": geometry.wavelength_angstrom.map(short),
        "distance_m": geometry.detector_distance_m.map(short),
        "pixel_size_m": pixel_size,
        "beam_center_px": geometry.beam_center_px.map(|center| center.map(|at| short(at - 0.5))),
        "notices": info.said().collect::<Vec<_>>(),
    })
}
