//! One data set of frames: which bytes of the file hold a frame, read and decoded without the HDF5 lock.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hdf5::plist::dataset_create::Layout;
use hdf5::{Dataset, Hyperslab, Selection, SliceOrIndex};
use rayon::prelude::*;

use super::super::Error;
use super::super::number::{Kind, Number};
use super::file::File;
use super::filters::{self, Filter};
use super::walk::{SetFacts, set_facts};

/// The stored bytes of one frame, row by row.
#[derive(Debug)]
pub struct RawFrame {
    pub number: Number,
    pub bytes: Vec<u8>,
    /// Cells that were never written, where there are any: one byte a pixel, not zero = missing.
    pub holes: Option<Vec<u8>>,
}

/// A data set (frames, ..., width) or (height, width); nothing of it stays open between readings.
#[derive(Debug)]
pub struct Source {
    pub file: PathBuf,
    pub dataset: String,
    pub rows: usize,
    pub height: usize,
    pub width: usize,
    pub number: Number,
    pub filters: Vec<Filter>,
    /// Shape with a frame axis in front, and the chunk's in the same form.
    shape: Vec<usize>,
    chunk: Option<Vec<usize>>,
    /// Whether the data set itself has no frame axis.
    flat: bool,
    /// Frames lie so many to a row of the data set, one above the other.
    slices: usize,
    storage: OnceLock<Storage>,
}

#[derive(Debug)]
enum Storage {
    /// Rows one after another from this byte on; `None`: never written.
    Contiguous(Option<u64>),
    /// One entry a chunk of the grid of chunks, in row-major order.
    Chunked(Vec<ChunkAt>),
    /// Only HDF5 itself can read it.
    Library,
}

#[derive(Clone, Copy, Debug, Default)]
struct ChunkAt {
    address: u64,
    /// 0: never written.
    size: u64,
    skipped: u32,
}

/// A frame with more pixels than this is refused before anything is allocated.
const MOST_PIXELS: usize = 1 << 28;
const MOST_CHUNKS: usize = 1 << 25;

impl Source {
    /// Opens a data set of a file and looks at its facts.
    ///
    /// Errors: no such file or data set; not frames of numbers; a filter that is not built in.
    pub fn open(file: &Path, dataset: &str) -> Result<Self, Error> {
        let opened = super::open(file)?;
        let set = opened.dataset(dataset).map_err(|_| {
            Error::new(
                format!("no data set {dataset:?}; name one with --dataset"),
                file,
            )
        })?;
        Self::from_facts(&set_facts(&set, false), file, dataset)
    }

    /// The same from facts that a walk found; `asked` and `dataset` are what errors speak of.
    pub fn from_facts(facts: &SetFacts, asked: &Path, dataset: &str) -> Result<Self, Error> {
        let Some(number) = facts.number else {
            return Err(Error::new(
                format!(
                    "the data set {dataset:?} does not hold plain numbers; name another with --dataset"
                ),
                asked,
            ));
        };
        let Some((rows, height, width)) = facts.frame_shape() else {
            return Err(Error::new(
                format!(
                    "the data set {dataset:?} has {} axes; frames need two or more",
                    facts.shape.len()
                ),
                asked,
            ));
        };
        if height
            .checked_mul(width)
            .is_none_or(|pixels| pixels == 0 || pixels > MOST_PIXELS)
        {
            return Err(Error::new(
                format!(
                    "the data set {dataset:?} claims frames of {width} x {height} pixels, which cannot be"
                ),
                asked,
            ));
        }
        for filter in &facts.filters {
            if !hdf5::filters::Filter::get_info(filter.id).decode_enabled {
                return Err(Error::new(
                    format!(
                        "the data set {dataset:?} is compressed with {} (HDF5 filter {}), which is not built in; \
                         rewrite it with gzip or bitshuffle, for instance with h5repack",
                        filter.name(),
                        filter.id
                    ),
                    asked,
                ));
            }
        }
        let flat = facts.shape.len() == 2;
        let framed = |shape: &[usize]| {
            let mut shape = shape.to_vec();
            if flat {
                shape.insert(0, 1);
            }
            shape
        };
        Ok(Self {
            file: facts.file.clone(),
            dataset: facts.inner.clone(),
            rows,
            height,
            width,
            number,
            filters: facts.filters.clone(),
            shape: framed(&facts.shape),
            chunk: facts.chunk.as_deref().map(framed),
            flat,
            slices: 1,
            storage: if facts.is_virtual {
                Storage::Library.into()
            } else {
                OnceLock::new()
            },
        })
    }

    /// Whether a frame is one whole row of a data set with exactly two axes besides the frames.
    pub fn is_slab(&self) -> bool {
        self.shape.len() == 3 && !self.flat && self.slices == 1
    }

    /// The shape of one frame, slow axes first.
    pub fn block(&self) -> &[usize] {
        // Slices are the first axis behind that of the rows.
        let first = if self.slices > 1 { 2 } else { 1 };
        self.shape.get(first..).unwrap_or(&[])
    }

    /// Every row of the data set as so many frames, one above the other; unchanged where the height does not allow it.
    pub fn sliced(mut self, slices: usize) -> Self {
        if slices > 1 && self.height.is_multiple_of(slices) {
            self.slices = slices;
            self.height /= slices;
            self.rows = self.rows.saturating_mul(slices);
        }
        self
    }

    /// Reads the bytes of one row; any thread, decoded outside the HDF5 lock where the filters are ours.
    ///
    /// Errors: no such row; the file has changed, is truncated or damaged.
    pub fn read(&self, row: usize) -> Result<RawFrame, Error> {
        if row >= self.rows {
            return Err(self.error(format!("no row {row}; there are {}", self.rows)));
        }
        let mut frame = self.read_row(row / self.slices)?;
        if self.slices > 1 {
            let slice = row % self.slices;
            cut(&mut frame.bytes, slice, self.slices);
            if let Some(holes) = &mut frame.holes {
                cut(holes, slice, self.slices);
            }
        }
        Ok(frame)
    }

    /// Reads all slices of a row of the data set.
    fn read_row(&self, row: usize) -> Result<RawFrame, Error> {
        match self.storage()? {
            Storage::Contiguous(None) => Ok(self.empty_frame()),
            Storage::Contiguous(Some(start)) => {
                let size = self.frame_bytes();
                let raw = File::open(&self.file).map_err(|error| self.io_error(&error))?;
                let bytes = raw
                    .read_at(start + (row * size) as u64, size)
                    .map_err(|error| self.io_error(&error))?;
                Ok(self.frame(bytes, self.number, None))
            }
            Storage::Chunked(index) => self.read_chunks(index, row),
            Storage::Library => self.read_by_library(row),
        }
    }

    fn frame(&self, bytes: Vec<u8>, number: Number, holes: Option<Vec<u8>>) -> RawFrame {
        debug_assert_eq!(bytes.len(), self.cells() * number.bytes);
        RawFrame {
            number,
            bytes,
            holes,
        }
    }

    fn empty_frame(&self) -> RawFrame {
        let holes = vec![1; self.cells()];
        self.frame(vec![0; self.frame_bytes()], self.number, Some(holes))
    }

    const fn frame_bytes(&self) -> usize {
        self.cells() * self.number.bytes
    }

    /// Cells of one row of the data set.
    const fn cells(&self) -> usize {
        self.height * self.slices * self.width
    }

    fn error(&self, sentence: impl Into<String>) -> Error {
        Error::new(sentence, &self.file)
    }

    fn io_error(&self, error: &std::io::Error) -> Error {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            self.error("the HDF5 file is truncated; copy it again from where it came")
        } else {
            Error::reading(error, &self.file)
        }
    }

    fn dataset(&self) -> Result<Dataset, Error> {
        super::open(&self.file)?
            .dataset(&self.dataset)
            .map_err(|_| {
                self.error(format!(
                    "the data set {:?} has gone; open the run again",
                    self.dataset
                ))
            })
    }

    /// Finds out once where the bytes are.
    fn storage(&self) -> Result<&Storage, Error> {
        if let Some(storage) = self.storage.get() {
            return Ok(storage);
        }
        let set = self.dataset()?;
        let storage = match (set.layout(), &self.chunk) {
            (Layout::Contiguous, _) if set.dcpl().is_ok_and(|list| list.external().is_empty()) => {
                Storage::Contiguous(set.offset())
            }
            (Layout::Chunked, Some(chunk)) if filters::all_ours(&self.filters) => {
                self.index(&set, chunk)?
            }
            _ => Storage::Library,
        };
        Ok(self.storage.get_or_init(|| storage))
    }

    fn grid(&self, chunk: &[usize]) -> Vec<usize> {
        self.shape
            .iter()
            .zip(chunk)
            .map(|(n, c)| n.div_ceil((*c).max(1)))
            .collect()
    }

    fn index(&self, set: &Dataset, chunk: &[usize]) -> Result<Storage, Error> {
        let grid = self.grid(chunk);
        let count = grid.iter().try_fold(1usize, |all, n| all.checked_mul(*n));
        let Some(count) = count.filter(|count| *count <= MOST_CHUNKS) else {
            return Ok(Storage::Library);
        };
        let mut index = vec![ChunkAt::default(); count];
        let flat = self.flat;
        set.chunks_visit(|info| {
            let offset = info.offset.iter().map(|n| *n as usize);
            let place = flat
                .then_some(0)
                .into_iter()
                .chain(offset)
                .zip(chunk)
                .zip(&grid)
                .fold(0, |place, ((at, c), n)| place * n + at / (*c).max(1));
            if let Some(entry) = index.get_mut(place) {
                *entry = ChunkAt {
                    address: info.addr,
                    size: info.size,
                    skipped: info.filter_mask,
                };
            }
            0
        })
        .map_err(|error| {
            let said = super::short(&error.to_string());
            self.error(format!(
                "the index of chunks of {:?} is damaged ({said})",
                self.dataset
            ))
        })?;
        Ok(Storage::Chunked(index))
    }

    fn read_chunks(&self, index: &[ChunkAt], row: usize) -> Result<RawFrame, Error> {
        let (Some(chunk), element) = (&self.chunk, self.number.bytes) else {
            return self.read_by_library(row);
        };
        let grid = self.grid(chunk);
        let per_row: usize = grid.iter().skip(1).product();
        let cells = chunk.iter().try_fold(1usize, |all, n| all.checked_mul(*n));
        let Some(size) = cells
            .and_then(|cells| cells.checked_mul(element))
            .filter(|size| *size <= u32::MAX as usize)
        else {
            return Err(self
                .error("claims chunks of more than 4 GiB, which cannot be; the file is damaged"));
        };
        let first_axis = chunk.first().copied().unwrap_or(1).max(1);
        let first = row / first_axis * per_row;
        let entries = index.get(first..first + per_row).unwrap_or(&[]);
        let raw = File::open(&self.file).map_err(|error| self.io_error(&error))?;
        let length = raw.length().map_err(|error| self.io_error(&error))?;
        let load = |entry: &ChunkAt| -> Result<Option<Vec<u8>>, Error> {
            if entry.size == 0 {
                return Ok(None);
            }
            if entry
                .address
                .checked_add(entry.size)
                .is_none_or(|end| end > length)
            {
                return Err(
                    self.error("the HDF5 file is truncated; copy it again from where it came")
                );
            }
            let data = raw
                .read_at(entry.address, entry.size as usize)
                .map_err(|error| self.io_error(&error))?;
            filters::decode(&self.filters, entry.skipped, data, element, size)
                .map(Some)
                .map_err(|what| {
                    self.error(format!(
                        "a chunk of frame {row} of {:?} {what}; the file is damaged, copy it again",
                        self.dataset
                    ))
                })
        };
        if let ([entry], true) = (
            entries,
            first_axis == 1 && chunk.get(1..) == self.shape.get(1..),
        ) {
            return Ok(match load(entry)? {
                Some(bytes) => self.frame(bytes, self.number, None),
                None => self.empty_frame(),
            });
        }
        let decoded: Vec<_> = entries.par_iter().map(load).collect::<Result<_, _>>()?;
        let mut frame = self.frame(vec![0; self.frame_bytes()], self.number, None);
        let per_frame: usize = chunk.iter().skip(1).product();
        let skip = (row % first_axis) * per_frame;
        for (place, data) in decoded.into_iter().enumerate() {
            let missing = data.is_none().then(|| vec![1u8; per_frame]);
            if let Some(data) = data.as_deref().and_then(|data| data.get(skip * element..)) {
                self.paste(place, &grid, chunk, data, element, &mut frame.bytes);
            }
            if let Some(missing) = missing {
                let holes = frame.holes.get_or_insert_with(|| vec![0; self.cells()]);
                self.paste(place, &grid, chunk, &missing, 1, holes);
            }
        }
        Ok(frame)
    }

    /// Copies a chunk's part of one frame to its place; `place` counts the chunks of the frame.
    fn paste(
        &self,
        place: usize,
        grid: &[usize],
        chunk: &[usize],
        from: &[u8],
        element: usize,
        to: &mut [u8],
    ) {
        let (Some(dims), Some(chunk), Some(grid)) =
            (self.shape.get(1..), chunk.get(1..), grid.get(1..))
        else {
            return;
        };
        // Where the chunk starts and how much of it lies inside, per axis.
        let mut left = place;
        let mut starts = vec![0; dims.len()];
        for axis in (0..dims.len()).rev() {
            starts[axis] = left % grid[axis] * chunk[axis];
            left /= grid[axis];
        }
        let inside: Vec<usize> = (0..dims.len())
            .map(|axis| chunk[axis].min(dims[axis].saturating_sub(starts[axis])))
            .collect();
        let run = inside.last().copied().unwrap_or(0) * element;
        let lines: usize = inside.iter().rev().skip(1).product();
        for line in 0..lines {
            let mut left = line;
            let (mut source, mut target) = (0, 0);
            let (mut source_step, mut target_step) = (1, 1);
            for axis in (0..dims.len()).rev() {
                let at = if axis + 1 == dims.len() {
                    0
                } else {
                    let at = left % inside[axis];
                    left /= inside[axis];
                    at
                };
                source += at * source_step;
                target += (starts[axis] + at) * target_step;
                source_step *= chunk[axis];
                target_step *= dims[axis];
            }
            let (source, target) = (source * element, target * element);
            if let (Some(from), Some(to)) = (
                from.get(source..source + run),
                to.get_mut(target..target + run),
            ) {
                to.copy_from_slice(from);
            }
        }
    }

    /// Reads a frame through HDF5, in the machine's byte order.
    fn read_by_library(&self, row: usize) -> Result<RawFrame, Error> {
        let set = self.dataset()?;
        macro_rules! read {
            ($type:ty) => {{
                let mut bytes = Vec::with_capacity(self.frame_bytes());
                for selection in self.slabs(row) {
                    let slab = set.read_slice_2d::<$type, _>(selection).map_err(|error| {
                        let said = super::short(&error.to_string());
                        self.error(format!(
                            "cannot read frame {row} of {:?} ({said})",
                            self.dataset
                        ))
                    })?;
                    bytes.extend(slab.iter().flat_map(|value| value.to_ne_bytes()));
                }
                bytes
            }};
        }
        let bytes = match (self.number.kind, self.number.bytes) {
            (Kind::Unsigned, 1) => read!(u8),
            (Kind::Unsigned, 2) => read!(u16),
            (Kind::Unsigned, 4) => read!(u32),
            (Kind::Unsigned, _) => read!(u64),
            (Kind::Signed, 1) => read!(i8),
            (Kind::Signed, 2) => read!(i16),
            (Kind::Signed, 4) => read!(i32),
            (Kind::Signed, _) => read!(i64),
            (Kind::Float, 8) => read!(f64),
            (Kind::Float, _) => read!(f32),
        };
        if bytes.len() != self.frame_bytes() {
            return Err(self.error(format!(
                "frame {row} of {:?} has the wrong size",
                self.dataset
            )));
        }
        Ok(self.frame(bytes, self.number.native(), None))
    }

    /// Two-dimensional selections that make up a frame, in order.
    fn slabs(&self, row: usize) -> Vec<Selection> {
        if self.flat {
            return vec![Selection::All];
        }
        let axes = self.shape.len();
        let middle = self.shape.get(1..axes.saturating_sub(2)).unwrap_or(&[]);
        (0..middle.iter().product())
            .map(|slab: usize| {
                let mut left = slab;
                let mut slices = vec![SliceOrIndex::from(..); axes];
                for (axis, n) in middle.iter().enumerate().rev() {
                    slices[axis + 1] = SliceOrIndex::Index(left % n);
                    left /= n;
                }
                slices[0] = SliceOrIndex::Index(row);
                Selection::from(Hyperslab::from(slices))
            })
            .collect()
    }
}

/// Keeps one of so many equal slices.
fn cut(all: &mut Vec<u8>, slice: usize, slices: usize) {
    let size = all.len() / slices;
    all.copy_within(slice * size..(slice + 1) * size, 0);
    all.truncate(size);
}
