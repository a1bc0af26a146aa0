//! `peaknet recover`: a sound project from what a damaged one and its copy still hold.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::arguments::who;
use super::output::{line, speak};
use super::{Failure, Outcome};
use crate::fs::is_same_file;
use crate::io::project::recover;

#[derive(Args, Debug)]
pub struct RecoverArguments {
    /// The damaged project; it is only read
    #[arg(value_name = "PROJECT")]
    project: PathBuf,
    /// The sound project to write [default: NAME-recovered beside it]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// One JSON line instead of sentences
    #[arg(long)]
    json: bool,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
}

/// Exit 1 where something is lost or only as old as the copy.
pub fn run(arguments: &RecoverArguments) -> Outcome {
    let project = &arguments.project;
    if !project.exists() {
        return Err(Failure::could_not(format!(
            "no such project; check the name: {}",
            project.display()
        )));
    }
    let out = arguments.out.clone().unwrap_or_else(|| beside(project));
    if is_same_file(project, &out) {
        return Err(Failure::could_not(format!(
            "this is the damaged project itself; choose another name for the output: {}",
            out.display()
        )));
    }
    let found = recover(project, &out, arguments.force, &who())?;
    let frames = |list: &[(String, usize)]| -> Vec<String> {
        let names = list.iter().map(|(run, frame)| format!("{run} {frame}"));
        names.collect()
    };
    if arguments.json {
        let entries = |list: &[(String, usize)]| -> Vec<serde_json::Value> {
            let entries = list.iter();
            entries
                .map(|(run, frame)| json!({ "run": run, "frame": frame - 1 }))
                .collect()
        };
        line(json!({
            "out": out,
            "whole": found.whole,
            "older": entries(&found.older),
            "lost": entries(&found.lost),
            "notices": found.notices,
        }))?;
    } else {
        line(format_args!(
            "{} frames whole, {} as old as the copy, {} lost: {}",
            found.whole,
            found.older.len(),
            found.lost.len(),
            out.display()
        ))?;
        for (list, what) in [(&found.older, "as old as the copy"), (&found.lost, "lost")] {
            if !list.is_empty() {
                line(format_args!(
                    "{what} (run, frame from 1): {}",
                    frames(list).join(", ")
                ))?;
            }
        }
        for notice in &found.notices {
            speak(notice);
        }
    }
    if found.older.is_empty() && found.lost.is_empty() && found.notices.is_empty() {
        Ok(())
    } else {
        Err(Failure::Problems(None))
    }
}

fn beside(project: &Path) -> PathBuf {
    let stem = project.file_stem().unwrap_or_default().to_string_lossy();
    let ending = project.extension().map_or_else(String::new, |ending| {
        format!(".{}", ending.to_string_lossy())
    });
    project.with_file_name(format!("{stem}-recovered{ending}"))
}
