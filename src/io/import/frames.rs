//! Which frame of a run each row of labels is of.

use std::ops::Range;
use std::path::Path;

use super::super::{Error, Run};

/// What a file of labels says of one of its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The run, by its name or its path.
    pub run: String,
    pub dataset: Option<String>,
    pub frame: usize,
}

/// Rows with their frames, and a sentence for what is left out.
pub type Matched = (Vec<(usize, usize)>, Option<String>);

/// Finds the frame of each row: the ones that the user names, those that the file names, else row i is of frame i.
///
/// Errors: another number of rows than of frames; rows of another run alone; frames that the run does not have.
pub fn matched(
    rows: usize,
    names: Option<&[Named]>,
    asked: Option<&Range<usize>>,
    run: &Run,
    labels: &Path,
) -> Result<Matched, Error> {
    let all = run.info.frames;
    if let Some(asked) = asked {
        if asked.end > all || asked.len() != rows {
            return Err(Error::new(
                format!(
                    "the labels are of {rows} frames, which --frames {}..{} of the {all} of the run does not fit; give as \
                     many frames as there are labels",
                    asked.start, asked.end
                ),
                labels,
            ));
        }
        return Ok((asked.clone().enumerate().collect(), None));
    }
    let in_order = || (0..rows).map(|row| (row, row)).collect::<Vec<_>>();
    if rows == all && (names.is_none() || run.reads(labels)) {
        return Ok((in_order(), None));
    }
    let Some(names) = names.filter(|names| names.len() == rows) else {
        return Err(Error::new(
            format!(
                "the labels are of {rows} frames but the run has {all}; import the run they belong to, or say with \
                 --frames A..B which frames they are of"
            ),
            labels,
        ));
    };
    let mut found = Vec::new();
    for (row, name) in names
        .iter()
        .enumerate()
        .filter(|(_, name)| is_of(name, run))
    {
        if name.frame >= all {
            return Err(Error::new(
                format!(
                    "the labels are of frame {} but the run has {all}; import the run they belong to",
                    name.frame
                ),
                labels,
            ));
        }
        found.push((row, name.frame));
    }
    let others = rows - found.len();
    if found.is_empty() {
        let other = names.first().map_or("", |name| name.run.as_str());
        return Err(Error::new(
            format!(
                "the labels are of another run ({other}); import that run, or say with --frames A..B which frames of this \
                 one they are of"
            ),
            labels,
        ));
    }
    let notice =
        (others > 0).then(|| format!("{others} labelled frames of other runs are left out"));
    Ok((found, notice))
}

/// Whether a row is of this run, wherever that lies now.
fn is_of(name: &Named, run: &Run) -> bool {
    let info = &run.info;
    let same_data = match (&name.dataset, &info.dataset) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    same_data
        && (name.run == info.name
            || name.run == info.source
            || base_name(&name.run) == base_name(&info.source))
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
