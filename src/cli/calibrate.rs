//! `peaknet calibrate`: the rings of a calibrant, found against expected.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::arguments::{NetArguments, RunArguments, calibrant};
use super::finder::circles;
use super::output::{line, rounded, speak};
use super::{Failure, Outcome, nets};
use crate::domain::calibrant::{self, Calibrant};
use crate::fs::write_whole;
use crate::io::crystfel::{self, GeomLines};
use crate::io::poni;
use crate::net::predict::Asked;

#[derive(Args, Debug)]
pub struct CalibrateArguments {
    #[command(flatten)]
    run: RunArguments,
    /// Whose rings to expect: silver-behenate, lab6 or ceo2
    #[arg(long, value_name = "NAME", default_value = "silver-behenate", value_parser = calibrant)]
    calibrant: Calibrant,
    /// Which frame, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    frame: usize,
    #[command(flatten)]
    net: NetArguments,
    /// Write the geometry: .geom, .poni, or both with a comma between
    #[arg(long, value_name = "OUT.geom,OUT.poni", value_delimiter = ',')]
    write: Vec<PathBuf>,
    /// One JSON value
    #[arg(long)]
    json: bool,
    /// Replace existing files
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &CalibrateArguments) -> Outcome {
    let run = arguments.run.open()?;
    if arguments.frame >= run.info.frames {
        return Err(Failure::no_frame(arguments.frame, run.info.frames));
    }
    for path in &arguments.write {
        run.refuse_to_replace(path)?;
    }
    let geometry = &run.info.geometry;
    if !geometry.places_rings() {
        return Err(Failure::could_not(
            "no ring can be expected without wavelength, distance, pixel size and beam centre; give \
             --wavelength-angstrom, --distance-m, --pixel-size-m and --beam-center-px, or --geometry",
        ));
    }
    let frame = run.read_frame(arguments.frame)?;
    // Rings can be compared without a net; only what it marks is unknown then.
    let classes = match nets::load(&arguments.net) {
        Ok(net) => net
            .predict(&[&frame], Asked::about(&circles(&run.info)))?
            .pop()
            .map(|prediction| prediction.classes),
        Err(failure) if arguments.net.net.is_some() => return Err(failure),
        Err(Failure::CouldNot(sentence)) => {
            speak(&format!("no auto-mask: {sentence}"));
            None
        }
        Err(failure) => return Err(failure),
    };
    let calibrant = arguments.calibrant;
    let rings = calibrant::ring_table(&frame, geometry, calibrant, classes.as_ref());
    for path in &arguments.write {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("geom") => {
                let lines = GeomLines {
                    data: run.info.dataset.as_deref().unwrap_or("/entry/data/data"),
                    mask: None,
                    peak_list: None,
                    from: run.geom(),
                };
                let text = crystfel::write_geom(geometry, run.info.width, run.info.height, &lines);
                write_whole(path, text.as_bytes(), arguments.force)?;
            }
            Some("poni") => {
                let text = poni::write_poni(geometry).ok_or_else(|| {
                    Failure::could_not(
                        "a .poni file needs distance, pixel size and beam centre of one flat detector; give \
                         --distance-m, --pixel-size-m and --beam-center-px, or write a .geom",
                    )
                })?;
                write_whole(path, text.as_bytes(), arguments.force)?;
            }
            _ => {
                return Err(Failure::could_not(format!(
                    "a geometry is written as .geom or .poni; name the file so: {}",
                    path.display()
                )));
            }
        }
    }
    let known = |value: Option<f64>| value.map(|value| rounded(value, 7));
    if arguments.json {
        let rows: Vec<Value> = rings
            .iter()
            .map(|ring| {
                json!({
                    "order": ring.order,
                    "d_angstrom": rounded(ring.d_angstrom, 7),
                    "expected_radius_px": rounded(ring.expected_radius_px, 7),
                    "found_radius_px": known(ring.found_radius_px),
                    "visible_fraction": rounded(ring.visible_fraction, 5),
                    "artifact_fraction": known(ring.artifact_fraction),
                })
            })
            .collect();
        return line(json!({
            "calibrant": calibrant.name(),
            "beam_center_px": geometry.beam_center_px.map(|[x, y]| [x - 0.5, y - 0.5]),
            "distance_m": geometry.detector_distance_m,
            "wavelength_angstrom": geometry.wavelength_angstrom,
            "rings": rows,
        }));
    }
    let text = |value: Option<f64>, unit: f64| {
        value.map_or_else(|| "-".to_owned(), |v| format!("{:.1}", unit * v))
    };
    line("order   d/A      expected/px  found/px  visible/%  artifact/%")?;
    for ring in &rings {
        line(format_args!(
            "{:5}  {:8.3}  {:>10}  {:>9}  {:>8}  {:>9}",
            ring.order,
            ring.d_angstrom,
            text(Some(ring.expected_radius_px), 1.0),
            text(ring.found_radius_px, 1.0),
            text(Some(ring.visible_fraction), 100.0),
            text(ring.artifact_fraction, 100.0),
        ))?;
    }
    Ok(())
}
