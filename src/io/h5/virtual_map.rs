//! From a data set to the files that really hold its frames: virtual data sets are resolved here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::Error;
use super::source::Source;
use super::walk::SetFacts;

/// Frames of one opened file: for each its source and row, `None` where the source is missing.
#[derive(Clone, Debug, Default)]
pub struct Stack {
    pub sources: Vec<Arc<Source>>,
    pub rows: Vec<Option<(usize, usize)>>,
    /// All files that it leads to, whether they are read by this program or by HDF5.
    pub files: Vec<PathBuf>,
    /// One sentence each.
    pub notices: Vec<String>,
    pub width: usize,
    pub height: usize,
}

impl Stack {
    /// Every so many-th row of a source as a frame.
    pub fn of(source: Source, every: usize) -> Self {
        Self {
            width: source.width,
            height: source.height,
            rows: (0..source.rows)
                .step_by(every.max(1))
                .map(|row| Some((0, row)))
                .collect(),
            sources: vec![Arc::new(source)],
            ..Self::default()
        }
    }
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
    if facts.is_virtual {
        let above = &mut Vec::new();
        refuse_circles(&whole.file, &whole.dataset, above, &mut stack.files)
            .map_err(|sentence| Error::new(sentence, opened))?;
    }
    if facts.is_virtual
        && let Some(pieces) = whole_frame_pieces(&whole, &facts.shape)?
    {
        stack.rows = vec![None; whole.rows];
        let mut missing_sources = Vec::new();
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
                        let why = error.to_string();
                        stack
                            .notices
                            .push(format!("a source of {dataset:?} is missing: {why}"));
                        missing_sources.push(why);
                        None
                    }
                });
            let Some(source) = source else { continue };
            let Some(opened) = stack.sources.get(source) else {
                continue;
            };
            let rows = piece
                .rows
                .unwrap_or_else(|| (0..piece.frames.len()).collect());
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
            let why = missing_sources.first().cloned().unwrap_or_default();
            return Err(Error::new(
                format!("the frames {dataset:?} lie in other files that cannot be read ({why})"),
                opened,
            ));
        }
        return Ok(stack);
    }
    Ok(through_library(whole, stack))
}

/// A virtual data set of virtual data sets is followed so far.
const DEEPEST: usize = 8;

/// Follows a virtual data set to its sources, whose files it notes: one that leads back to itself would end the program within HDF5.
///
/// Errors: the sentence that says so.
fn refuse_circles(
    file: &Path,
    dataset: &str,
    above: &mut Vec<(PathBuf, String)>,
    files: &mut Vec<PathBuf>,
) -> Result<(), String> {
    let canonical = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let here = (canonical, dataset.trim_start_matches('/').to_owned());
    if above.contains(&here) || above.len() > DEEPEST {
        return Err(format!(
            "the virtual data set {dataset:?} leads back to itself, so its frames are nowhere; make it again from the files that hold them"
        ));
    }
    let Ok(set) = super::open(file).and_then(|file| {
        file.dataset(dataset)
            .map_err(|error| Error::new(error.to_string(), dataset))
    }) else {
        return Ok(()); // missing: said elsewhere
    };
    if set.layout() != hdf5::plist::dataset_create::Layout::Virtual {
        return Ok(());
    }
    let map = set
        .dcpl()
        .and_then(|list| entries(&list))
        .unwrap_or_default();
    drop(set);
    above.push(here);
    let mut seen = std::collections::HashSet::new();
    for entry in map {
        let source = source_file(&entry.file, file);
        if seen.insert((source.clone(), entry.dataset.clone())) {
            files.push(source.clone());
            refuse_circles(&source, &entry.dataset, above, files)?;
        }
    }
    above.pop();
    Ok(())
}

/// The file that an entry names: HDF5 looks beside the virtual data set's file first, then takes the name as it stands.
fn source_file(name: &str, opened: &Path) -> PathBuf {
    if name == "." {
        return opened.to_owned();
    }
    let beside = opened.parent().unwrap_or(Path::new(".")).join(name);
    if beside.exists() {
        beside
    } else {
        PathBuf::from(name)
    }
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
    /// `None`: the source's rows from the first on.
    rows: Option<Vec<usize>>,
}

/// One entry of the map as HDF5 keeps it.
struct Entry {
    file: String,
    dataset: String,
    frames: Selected,
    rows: Selected,
}

/// A selection of a data space.
enum Selected {
    All,
    /// Start, stride, count and block of each axis, and the axes' lengths.
    Slab {
        axes: Vec<[u64; 4]>,
        shape: Vec<usize>,
    },
    Other,
}

/// The map of a virtual data set, if every piece of it covers whole frames.
fn whole_frame_pieces(whole: &Source, shape: &[usize]) -> Result<Option<Vec<Piece>>, Error> {
    let set = super::open(&whole.file)?.dataset(&whole.dataset);
    let Ok(map) = set.and_then(|set| entries(&set.dcpl()?)) else {
        return Ok(None);
    };
    let mut pieces = Vec::new();
    for entry in map {
        if entry.file.contains('%') {
            return Ok(None); // numbered source files: HDF5 knows how
        }
        let Some(frames) = whole_rows(&entry.frames, shape) else {
            return Ok(None);
        };
        let rows = match &entry.rows {
            Selected::All => None,
            Selected::Slab { shape, .. } => match whole_rows(&entry.rows, shape) {
                Some(rows) if rows.len() == frames.len() => Some(rows),
                _ => return Ok(None),
            },
            Selected::Other => return Ok(None),
        };
        pieces.push(Piece {
            file: source_file(&entry.file, &whole.file),
            dataset: entry.dataset,
            frames,
            rows,
        });
    }
    Ok(Some(pieces))
}

/// Reads the map out of a creation property list.
#[expect(
    unsafe_code,
    reason = "the safe crate refuses blocks longer than their stride, which h5py writes"
)]
fn entries(creation: &hdf5::plist::DatasetCreate) -> hdf5::Result<Vec<Entry>> {
    use hdf5_sys::h5p::{
        H5Pget_virtual_count, H5Pget_virtual_dsetname, H5Pget_virtual_filename,
        H5Pget_virtual_srcspace, H5Pget_virtual_vspace,
    };
    let id = creation.id();
    hdf5::sync::sync(|| {
        let mut count = 0;
        // SAFETY: the property list is open and `count` is a place for the number.
        hdf5::h5check(unsafe { H5Pget_virtual_count(id, &raw mut count) })?;
        (0..count)
            .map(|index| {
                let mut name = [0u8; 4096];
                let mut text = |get: unsafe extern "C" fn(
                    i64,
                    usize,
                    *mut std::ffi::c_char,
                    usize,
                ) -> isize| {
                    name.fill(0);
                    // SAFETY: the list is open, the index below the count, the buffer as long as said.
                    unsafe { get(id, index, name.as_mut_ptr().cast(), name.len()) };
                    let end = name.iter().position(|byte| *byte == 0).unwrap_or(0);
                    String::from_utf8_lossy(name.get(..end).unwrap_or(&[])).into_owned()
                };
                let (file, dataset) =
                    (text(H5Pget_virtual_filename), text(H5Pget_virtual_dsetname));
                // SAFETY: as above; `from_id` takes over the new data space.
                let (frames, rows): (hdf5::Dataspace, hdf5::Dataspace) = unsafe {
                    (
                        hdf5::from_id(hdf5::h5check(H5Pget_virtual_vspace(id, index))?)?,
                        hdf5::from_id(hdf5::h5check(H5Pget_virtual_srcspace(id, index))?)?,
                    )
                };
                Ok(Entry {
                    file,
                    dataset,
                    frames: selected(&frames),
                    rows: selected(&rows),
                })
            })
            .collect()
    })
}

#[expect(unsafe_code, reason = "as for `entries`")]
fn selected(space: &hdf5::Dataspace) -> Selected {
    use hdf5_sys::h5s::{
        H5S_sel_type, H5Sget_regular_hyperslab, H5Sget_select_type, H5Sis_regular_hyperslab,
    };
    let n = space.ndim();
    let [mut start, mut stride, mut count, mut block] = std::array::from_fn(|_| vec![0u64; n]);
    // SAFETY: the data space is open and each list has one place an axis; called under the lock.
    unsafe {
        match H5Sget_select_type(space.id()) {
            H5S_sel_type::H5S_SEL_ALL => return Selected::All,
            H5S_sel_type::H5S_SEL_HYPERSLABS if H5Sis_regular_hyperslab(space.id()) > 0 => {}
            _ => return Selected::Other,
        }
        let status = H5Sget_regular_hyperslab(
            space.id(),
            start.as_mut_ptr(),
            stride.as_mut_ptr(),
            count.as_mut_ptr(),
            block.as_mut_ptr(),
        );
        if status < 0 {
            return Selected::Other;
        }
    }
    let axes = (start.iter().zip(&stride)).zip(count.iter().zip(&block));
    Selected::Slab {
        axes: axes
            .map(|((start, stride), (count, block))| [*start, *stride, *count, *block])
            .collect(),
        shape: space.shape(),
    }
}

/// The indices along the first axis, if the selection covers all other axes; a two-dimensional
/// data set that is wholly selected is row 0.
fn whole_rows(selection: &Selected, shape: &[usize]) -> Option<Vec<usize>> {
    let axes = match selection {
        Selected::All if shape.len() == 2 => return Some(vec![0]),
        Selected::All => return Some((0..*shape.first()?).collect()),
        Selected::Slab { axes, .. } if axes.len() == shape.len() => axes,
        _ => return None,
    };
    let mut covered = axes.iter().zip(shape).map(|(slice, n)| indices(*slice, *n));
    let first = if shape.len() == 2 {
        vec![0]
    } else {
        covered.next()??
    };
    let inner = shape.get(usize::from(shape.len() != 2)..)?;
    covered
        .zip(inner)
        .all(|(all, n)| all.is_some_and(|all| all.len() == *n && all.first() == Some(&0)))
        .then_some(first)
}

/// The indices that start, stride, count and block select of an axis of n cells; `None` when they reach
/// beyond. A count without limit means as many as there are.
fn indices([start, stride, count, block]: [u64; 4], n: usize) -> Option<Vec<usize>> {
    let (start, stride, block) = (
        usize::try_from(start).ok()?,
        usize::try_from(stride).ok()?.max(1),
        usize::try_from(block).ok()?,
    );
    let count = match usize::try_from(count) {
        Ok(count) if count <= n => count,
        _ if count == u64::MAX => n.checked_sub(start)?.div_ceil(stride),
        _ => return None,
    };
    if block > n {
        return None;
    }
    let all: Vec<usize> = (0..count)
        .flat_map(|i| (0..block).map(move |j| start + i * stride + j))
        .collect();
    all.iter().all(|at| *at < n).then_some(all)
}
