//! From a data set to the files that really hold its frames: virtual data sets are resolved here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hdf5::{Selection, SliceOrIndex};

use super::super::Error;
use super::source::Source;
use super::walk::SetFacts;

/// Frames of one opened file: for each its source and row, `None` where the source is missing.
#[derive(Clone, Debug, Default)]
pub struct Stack {
    pub sources: Vec<Arc<Source>>,
    pub rows: Vec<Option<(usize, usize)>>,
    /// One sentence each.
    pub notices: Vec<String>,
    pub width: usize,
    pub height: usize,
}

/// The frames of a data set of an opened file.
///
/// Errors: the same as [`Source::open`]; a virtual data set of which no source can be opened.
pub fn stack(facts: &SetFacts, opened: &Path, dataset: &str) -> Result<Stack, Error> {
    let whole = Source::from_facts(facts, opened, dataset)?;
    let mut stack = Stack {
        width: whole.width,
        height: whole.height,
        ..Stack::default()
    };
    if facts.is_virtual
        && let Some(pieces) = whole_frame_pieces(&whole, &facts.shape)?
    {
        stack.rows = vec![None; whole.rows];
        let mut known: HashMap<(PathBuf, String), Option<usize>> = HashMap::new();
        for piece in pieces {
            let source = *known
                .entry((piece.file.clone(), piece.dataset.clone()))
                .or_insert_with(|| match Source::open(&piece.file, &piece.dataset) {
                    Ok(source) => {
                        stack.sources.push(Arc::new(source));
                        Some(stack.sources.len() - 1)
                    }
                    Err(error) => {
                        stack
                            .notices
                            .push(format!("a source of {dataset:?} is missing: {error}"));
                        None
                    }
                });
            let Some(source) = source else { continue };
            let (Some(opened), rows) = (stack.sources.get(source), piece.rows) else {
                continue;
            };
            if (opened.width, opened.height) != (stack.width, stack.height) {
                return Ok(through_library(whole, stack));
            }
            for (frame, row) in piece.frames.into_iter().zip(rows) {
                if let Some(place) = stack.rows.get_mut(frame)
                    && row < opened.rows
                {
                    *place = Some((source, row));
                }
            }
        }
        let missing = stack.rows.iter().filter(|row| row.is_none()).count();
        if missing > 0 {
            stack.notices.push(format!(
                "{missing} of {} frames have no source and are marked missing",
                whole.rows
            ));
        }
        if stack.sources.is_empty() {
            let why = stack.notices.first().cloned().unwrap_or_default();
            return Err(Error::new(
                format!("none of the files behind {dataset:?} can be read ({why})"),
                opened,
            ));
        }
        return Ok(stack);
    }
    Ok(through_library(whole, stack))
}

/// Every frame is a row of the data set itself.
fn through_library(whole: Source, mut stack: Stack) -> Stack {
    stack.rows = (0..whole.rows).map(|row| Some((0, row))).collect();
    stack.sources = vec![Arc::new(whole)];
    stack
}

/// Frames of a virtual data set that come one to one from rows of a source.
struct Piece {
    file: PathBuf,
    dataset: String,
    frames: Vec<usize>,
    rows: Vec<usize>,
}

/// The map of a virtual data set, if every piece of it covers whole frames.
fn whole_frame_pieces(whole: &Source, shape: &[usize]) -> Result<Option<Vec<Piece>>, Error> {
    let mapping = super::open(&whole.file)?
        .dataset(&whole.dataset)
        .and_then(|set| set.dcpl()?.get_virtual_map());
    let Ok(mapping) = mapping else {
        return Ok(None);
    };
    let folder = whole.file.parent().unwrap_or(Path::new("."));
    let mut pieces = Vec::new();
    for map in mapping {
        if map.src_filename.contains('%') {
            return Ok(None); // numbered source files: HDF5 knows how
        }
        let source_shape: Vec<usize> = map.src_extents.dims();
        let frames = whole_rows(&map.vds_selection, shape);
        let rows = whole_rows(&map.src_selection, &source_shape);
        let (Some(frames), Some(rows)) = (frames, rows) else {
            return Ok(None);
        };
        if frames.len() != rows.len() {
            return Ok(None);
        }
        let file = if map.src_filename == "." {
            whole.file.clone()
        } else {
            // HDF5 looks beside the virtual data set's file first, then takes the name as it stands.
            let beside = folder.join(&map.src_filename);
            if beside.exists() {
                beside
            } else {
                PathBuf::from(&map.src_filename)
            }
        };
        pieces.push(Piece {
            file,
            dataset: map.src_dataset,
            frames,
            rows,
        });
    }
    Ok(Some(pieces))
}

/// The indices along the first axis, if the selection covers all other axes; a two-dimensional
/// data set that is wholly selected is row 0.
fn whole_rows(selection: &Selection, shape: &[usize]) -> Option<Vec<usize>> {
    let slices = match selection {
        Selection::All if shape.len() == 2 => return Some(vec![0]),
        Selection::All => return Some((0..*shape.first()?).collect()),
        Selection::Hyperslab(slices) => slices,
        _ => return None,
    };
    if slices.len() != shape.len() {
        return None;
    }
    let mut covered = slices
        .iter()
        .zip(shape)
        .map(|(slice, n)| indices(*slice, *n));
    if shape.len() == 2 {
        return covered
            .zip(shape)
            .all(|(all, n)| is_all(&all, *n))
            .then(|| vec![0]);
    }
    let first = covered.next()??;
    covered
        .zip(shape.iter().skip(1))
        .all(|(all, n)| is_all(&all, *n))
        .then_some(first)
}

fn is_all(indices: &Option<Vec<usize>>, n: usize) -> bool {
    indices
        .as_ref()
        .is_some_and(|indices| indices.len() == n && indices.first() == Some(&0))
}

/// The indices that a slice selects of an axis of n cells; `None` when it reaches beyond.
fn indices(slice: SliceOrIndex, n: usize) -> Option<Vec<usize>> {
    let (start, step, count, block) = match slice {
        SliceOrIndex::Index(at) => (at, 1, 1, 1),
        SliceOrIndex::SliceCount {
            start,
            step,
            count,
            block,
        } => (start, step, count, block),
        SliceOrIndex::SliceTo {
            start,
            step,
            end,
            block,
        } => {
            let last = end.checked_sub(start)?.checked_sub(block)?;
            (start, step, last / step.max(1) + 1, block)
        }
        SliceOrIndex::Unlimited { start, step, block } => (
            start,
            step,
            n.checked_sub(start)?.div_ceil(step.max(1)),
            block,
        ),
    };
    if count.checked_mul(block)? > n {
        return None;
    }
    let all: Vec<usize> = (0..count)
        .flat_map(|i| (0..block).map(move |j| start + i * step + j))
        .collect();
    all.iter().all(|at| *at < n).then_some(all)
}
