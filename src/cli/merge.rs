//! `peaknet merge`: two curators' projects compared, and made one.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::arguments::who;
use super::output::{line, rounded, speak};
use super::{Failure, Outcome};
use crate::domain::agreement::Agreement;
use crate::domain::labels::Class;
use crate::fs::is_same_file;
use crate::io::project::merge::{self, Compared, State};
use crate::io::project::{Mode, Project};

#[derive(Args, Debug)]
pub struct MergeArguments {
    /// Your project
    #[arg(value_name = "MINE")]
    mine: PathBuf,
    /// The other curator's project, of the same runs or of others
    #[arg(value_name = "THEIRS")]
    theirs: PathBuf,
    /// Write a project with the labels of both; without it they are only compared
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// One JSON line a frame, then the summary
    #[arg(long)]
    json: bool,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
}

#[derive(Default)]
struct Summary {
    only_mine: usize,
    only_theirs: usize,
    equal: usize,
    conflicts: usize,
    agreement: Agreement,
}

impl Summary {
    fn add(&mut self, frame: &Compared) {
        *match frame.state {
            State::OnlyMine => &mut self.only_mine,
            State::OnlyTheirs => &mut self.only_theirs,
            State::Equal => &mut self.equal,
            State::Conflict => &mut self.conflicts,
        } += 1;
        if let Some(agreement) = &frame.agreement {
            self.agreement.add(agreement);
        }
    }

    const fn frames(&self) -> usize {
        self.only_mine + self.only_theirs + self.equal + self.conflicts
    }
}

pub fn run(arguments: &MergeArguments) -> Outcome {
    for path in [&arguments.mine, &arguments.theirs] {
        if !path.exists() {
            return Err(Failure::could_not(format!(
                "no such project; check the name: {}",
                path.display()
            )));
        }
    }
    if is_same_file(&arguments.mine, &arguments.theirs) {
        return Err(Failure::could_not(format!(
            "these are one project; give two: {}",
            arguments.mine.display()
        )));
    }
    let mut mine = Project::open(&arguments.mine, Mode::Read)?;
    let mut theirs = Project::open(&arguments.theirs, Mode::Read)?;
    let mut summary = Summary::default();
    let mut said: Outcome = Ok(());
    let mut each = |frame: Compared| {
        if said.is_ok() && !arguments.json && summary.frames() == 0 {
            said = line(HEADS);
        }
        summary.add(&frame);
        if said.is_ok() {
            said = if arguments.json {
                line(frame_json(&frame))
            } else {
                line(frame_row(&frame))
            };
        }
    };
    match &arguments.out {
        Some(out) => merge::merge(
            &mut mine,
            &mut theirs,
            out,
            arguments.force,
            &who(),
            &mut each,
        )?,
        None => merge::compare(&mut mine, &mut theirs, &mut each)?,
    }
    said?;
    if arguments.out.is_some() && summary.conflicts > 0 {
        speak(&format!(
            "{} frames differ and are flagged: mine are shown; in the window O and \"conflicts\" asks what is right, one component after the other",
            summary.conflicts
        ));
    }
    if arguments.json {
        return line(json!({ "summary": summary_json(&summary, arguments) }));
    }
    let agreement = &summary.agreement;
    line(format_args!(
        "{} frames: {} only mine, {} only theirs, {} equal, {} differ; of {} and {} peaks in frames of both {} agree, F1 {}, \
         kappa {} (peak {})",
        summary.frames(),
        summary.only_mine,
        summary.only_theirs,
        summary.equal,
        summary.conflicts,
        agreement.peaks[0],
        agreement.peaks[1],
        agreement.agreed,
        number(agreement.f1()),
        number(agreement.kappa()),
        number(agreement.kappa_of(Class::Peak)),
    ))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

/// The heads of the columns of [`frame_row`].
const HEADS: &str = "run                        frame labels      peaks mine peaks theirs  agreed     F1  kappa     pixels";

fn frame_row(frame: &Compared) -> String {
    let mut row = format!(
        "{:<24} {:>7} {:<11}",
        frame.run,
        frame.frame,
        frame.state.name()
    );
    if let Some(agreement) = &frame.agreement {
        row.push_str(&format!(
            " {:>10} {:>12} {:>7} {:>6} {:>6} {:>10}",
            agreement.peaks[0],
            agreement.peaks[1],
            agreement.agreed,
            number(agreement.f1()),
            number(agreement.kappa()),
            agreement.different
        ));
    }
    row
}

fn frame_json(frame: &Compared) -> Value {
    let [mine, theirs] = frame.reviews.map(|review| review.name());
    let mut value = json!({
        "run": frame.run,
        "frame": frame.frame,
        "state": frame.state.name(),
        "review_mine": mine,
        "review_theirs": theirs,
    });
    if let (Some(agreement), Some(fields)) = (&frame.agreement, value.as_object_mut()) {
        fields.extend(agreement_json(agreement));
    }
    value
}

fn agreement_json(agreement: &Agreement) -> serde_json::Map<String, Value> {
    let round = |value: Option<f64>| value.map(|value| rounded(value, 6));
    let [mine, theirs] = agreement.peaks;
    let fields = [
        ("peaks_mine", json!(mine)),
        ("peaks_theirs", json!(theirs)),
        ("peaks_agreed", json!(agreement.agreed)),
        ("f1", json!(round(agreement.f1()))),
        ("centroid_error_px", json!(round(agreement.distance_px()))),
        ("kappa", json!(round(agreement.kappa()))),
        ("kappa_peak", json!(round(agreement.kappa_of(Class::Peak)))),
        (
            "kappa_artifact",
            json!(round(agreement.kappa_of(Class::Artifact))),
        ),
        ("pixels", json!(agreement.pixels)),
        ("pixels_different", json!(agreement.different)),
    ];
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

fn summary_json(summary: &Summary, arguments: &MergeArguments) -> Value {
    let mut value = json!({
        "mine": arguments.mine,
        "theirs": arguments.theirs,
        "out": arguments.out,
        "frames": summary.frames(),
        "only_mine": summary.only_mine,
        "only_theirs": summary.only_theirs,
        "equal": summary.equal,
        "conflicts": summary.conflicts,
    });
    if let Some(fields) = value.as_object_mut() {
        fields.extend(agreement_json(&summary.agreement));
    }
    value
}
