//! `peaknet export`: a project's labels as files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::output::{line, progress, speak};
use super::{Failure, Outcome};
use crate::io::export::{self, Which};
use crate::io::project::{Mode, Project};

#[derive(Args, Debug)]
pub struct ExportArguments {
    /// The project file
    #[arg(value_name = "PROJECT")]
    project: PathBuf,
    /// The file to write; for png a folder
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Training set, CXI class map, indexed PNG a frame, or NumPy array
    #[arg(long, value_enum, default_value = "set")]
    format: Format,
    /// Frames that a person confirmed, that have labels, or all
    #[arg(long, value_enum, default_value = "reviewed")]
    which: WhichFrames,
    /// One JSON value
    #[arg(long)]
    json: bool,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Set,
    Cxi,
    Png,
    Npy,
}

impl Format {
    const fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Cxi => "cxi",
            Self::Png => "png",
            Self::Npy => "npy",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WhichFrames {
    Reviewed,
    Labelled,
    All,
}

pub fn run(arguments: &ExportArguments) -> Outcome {
    if !arguments.project.exists() {
        return Err(Failure::could_not(format!(
            "no such project; make one with peaknet import PROJECT PATH: {}",
            arguments.project.display()
        )));
    }
    let mut project = Project::open(&arguments.project, Mode::Read)?;
    let which = match arguments.which {
        WhichFrames::Reviewed => Which::Reviewed,
        WhichFrames::Labelled => Which::Labelled,
        WhichFrames::All => Which::All,
    };
    let bar = progress(0, "exporting");
    let summary = export::export(
        &mut project,
        &arguments.out,
        arguments.format.name(),
        which,
        arguments.force,
        &mut |done, of| {
            bar.set_length(of as u64);
            bar.set_position(done as u64);
        },
    )?;
    bar.finish_and_clear();
    for notice in &summary.notices {
        speak(notice);
    }
    if arguments.json {
        let mut value = json!({
            "frames": summary.frames,
            "format": arguments.format.name(),
            "out": arguments.out,
            "notices": summary.notices,
        });
        if let Some(set) = &summary.set {
            let [train, validation, held_out] = set.splits;
            value["digest"] = json!(set.digest);
            value["split"] =
                json!({ "train": train, "validation": validation, "held_out": held_out });
        }
        return line(value);
    }
    line(format_args!(
        "{} frames: {}",
        summary.frames,
        arguments.out.display()
    ))
}
