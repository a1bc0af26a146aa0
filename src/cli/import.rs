//! `peaknet import`: a run, and labels made elsewhere, into a project.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::arguments::{RunArguments, who};
use super::output::line;
use super::{Failure, Outcome};
use crate::io::import;
use crate::io::project::{Mode, Project};

#[derive(Args, Debug)]
pub struct ImportArguments {
    /// The project file; made where there is none
    #[arg(value_name = "PROJECT")]
    project: PathBuf,
    #[command(flatten)]
    run: RunArguments,
    /// Labels of these frames: a set, a CXI class map, a .stream, a folder of PNG, or .npy
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Mark the imported labels as confirmed by a person
    #[arg(long)]
    reviewed: bool,
    /// One JSON value
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &ImportArguments) -> Outcome {
    let run = arguments.run.open()?;
    let mut project = Project::open(&arguments.project, Mode::Write { who: who() })?;
    let key = project.add_run(&run.info)?;
    let labelled = match &arguments.labels {
        Some(labels) => {
            if !labels.exists() {
                return Err(Failure::could_not(format!(
                    "no such file of labels; check the name: {}",
                    labels.display()
                )));
            }
            import::import_labels(&mut project, key, &run, labels, arguments.reviewed, &who())?
        }
        None => 0,
    };
    if arguments.json {
        return line(json!({
            "project": arguments.project,
            "run": run.info.name,
            "frames": run.info.frames,
            "labelled": labelled,
        }));
    }
    line(format_args!(
        "{}: {} frames, {labelled} with labels brought in: {}",
        run.info.name,
        run.info.frames,
        arguments.project.display()
    ))
}
