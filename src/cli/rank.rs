//! `peaknet rank`: the frames that need a look most, first.

use std::io::Read;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::arguments::{FrameRange, NetArguments, OpenArguments, frames};
use super::finder::circles;
use super::output::{line, progress, rounded, speak};
use super::predict::artifact_fraction;
use super::reading::read_ahead;
use super::{Outcome, nets};
use crate::domain::doubt::doubt;
use crate::domain::peaks;
use crate::io;
use crate::net::predict::Asked;

#[derive(Args, Debug)]
pub struct RankArguments {
    /// A project (its runs are ranked), or files, folders, glob patterns or event lists
    #[arg(required = true, value_name = "PROJECT|PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    open: OpenArguments,
    #[command(flatten)]
    net: NetArguments,
    /// What puts a frame first: doubtful pixels, many peaks, much artifact
    #[arg(long, value_enum, default_value = "doubt")]
    by: By,
    /// Only these frames, as A..B (half open)
    #[arg(long, value_name = "A..B", value_parser = frames)]
    frames: Option<FrameRange>,
    /// Only so many of the first
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// One JSON line a frame, then a summary
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    Doubt,
    Peaks,
    Artifact,
}

struct Row {
    frame: usize,
    doubt: f64,
    peaks: usize,
    artifact: f64,
}

pub fn run(arguments: &RankArguments) -> Outcome {
    let paths = match arguments.paths.as_slice() {
        [project] if is_project(project) => io::project::runs_of(project)?,
        paths => paths.to_vec(),
    };
    let run = io::open_run(&paths, &arguments.open.options())?;
    let range = FrameRange::within(arguments.frames, run.info.frames)?;
    let net = nets::load(&arguments.net)?;
    let circles = circles(&run.info);
    let asked = Asked::about(&circles);
    let bar = progress(range.len(), "ranking");
    let mut rows = Vec::with_capacity(range.len());
    read_ahead(&run, range, 2, |number, read| {
        bar.inc(1);
        let frame = match read.result {
            Ok(frame) => frame,
            Err(error) => {
                speak(&format!("frame {number}: {error}"));
                return Ok(());
            }
        };
        for mut prediction in net.predict(&[&frame], asked)? {
            let found = peaks::settle_peaks(&frame, &mut prediction.classes);
            rows.push(Row {
                frame: number,
                doubt: doubt(&frame, &prediction.peak, &prediction.artifact),
                peaks: found.len(),
                artifact: artifact_fraction(&frame, &prediction.classes),
            });
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    let key = |row: &Row| match arguments.by {
        By::Doubt => row.doubt,
        By::Peaks => row.peaks as f64,
        By::Artifact => row.artifact,
    };
    rows.sort_by(|a, b| key(b).total_cmp(&key(a)).then(a.frame.cmp(&b.frame)));
    let ranked = rows.len();
    rows.truncate(arguments.top.unwrap_or(usize::MAX));
    if !arguments.json {
        line("frame (from 0)  doubt  peaks  artifact")?;
    }
    for row in &rows {
        if arguments.json {
            line(json!({
                "frame": row.frame,
                "doubt": rounded(row.doubt, 4),
                "n_peaks": row.peaks,
                "artifact_fraction": rounded(row.artifact, 4),
            }))?;
        } else {
            line(format_args!(
                "{:14}  {:.3}  {:5}  {:7.3}%",
                row.frame,
                row.doubt,
                row.peaks,
                100.0 * row.artifact
            ))?;
        }
    }
    if arguments.json {
        line(json!({ "summary": { "frames": ranked, "net": net.name() } }))?;
    }
    Ok(())
}

/// Whether a file is a project, by its content: every SQLite file begins with this text.
pub fn is_project(path: &std::path::Path) -> bool {
    let mut magic = [0_u8; 16];
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok_and(|()| &magic == b"SQLite format 3\0")
}
