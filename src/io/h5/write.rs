//! Writing: arrays, texts, links, virtual data sets, and frames as chunks compressed outside the lock.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use hdf5::types::VarLenUnicode;
use hdf5::{Extent, H5Type, Hyperslab, Selection, SliceOrIndex};
use hdf5_sys::h5d::H5Dwrite_chunk;

use super::super::Error;

/// A number that this program stores: little-endian in memory and on disk.
pub trait Cell: H5Type + bytemuck::NoUninit {}
impl Cell for u8 {}
impl Cell for i8 {}
impl Cell for i16 {}
impl Cell for i64 {}
impl Cell for u64 {}
impl Cell for u16 {}
impl Cell for u32 {}
impl Cell for i32 {}
impl Cell for f32 {}
impl Cell for f64 {}

/// How a chunked data set is made.
#[derive(Clone, Debug)]
pub struct Creation {
    pub shape: Vec<usize>,
    pub chunk: Vec<usize>,
    /// Whether the axis may grow, for each axis.
    pub grows: Vec<bool>,
    /// gzip after byte shuffle.
    pub gzip_level: u8,
}

impl Creation {
    /// Frames (n, height, width), one a chunk, growing along the first axis.
    pub fn frames(height: usize, width: usize, gzip_level: u8) -> Self {
        Self {
            shape: vec![0, height, width],
            chunk: vec![1, height, width],
            grows: vec![true, false, false],
            gzip_level,
        }
    }
}

/// Rows of a virtual data set that come from consecutive rows of another file.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualPiece {
    pub file: String,
    pub dataset: String,
    /// How many rows the source has.
    pub source_rows: usize,
    pub first_row: usize,
    pub first_frame: usize,
    pub count: usize,
}

/// A file that is being written.
#[derive(Debug)]
pub struct Writer {
    file: hdf5::File,
    /// The path of which errors speak.
    path: PathBuf,
}

/// A chunked data set that is written chunk by chunk.
#[derive(Debug)]
pub struct Chunks {
    set: hdf5::Dataset,
    element: usize,
    chunk: Vec<usize>,
    shape: Vec<usize>,
    gzip_level: u8,
    path: PathBuf,
}

fn failed(path: &Path, doing: &str, error: &hdf5::Error) -> Error {
    let said = super::short(&error.to_string());
    Error::new(
        format!("cannot {doing} ({said}); check the space left on the disk"),
        path,
    )
}

impl Writer {
    /// Makes (and truncates) the file at `path`; `target` is what errors speak of.
    pub fn create(path: &Path, target: &Path) -> Result<Self, Error> {
        let file = hdf5::FileBuilder::new()
            .create(path)
            .map_err(|error| failed(target, "create the HDF5 file", &error))?;
        Ok(Self {
            file,
            path: target.to_owned(),
        })
    }

    fn wrap<T>(&self, doing: &str, result: hdf5::Result<T>) -> Result<T, Error> {
        result.map_err(|error| failed(&self.path, doing, &error))
    }

    /// Makes a group and those above it; one that exists is left as it is.
    pub fn group(&self, path: &str) -> Result<(), Error> {
        let mut so_far = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            so_far = format!("{so_far}/{part}");
            if !self.file.link_exists(&so_far) {
                self.wrap("create a group", self.file.create_group(&so_far))?;
            }
        }
        Ok(())
    }

    fn group_of(&self, path: &str) -> Result<(), Error> {
        match path.rsplit_once('/') {
            Some((above, _)) => self.group(above),
            None => Ok(()),
        }
    }

    /// A whole array at once, uncompressed; an empty shape is a scalar.
    pub fn array<T: Cell>(&self, path: &str, shape: &[usize], cells: &[T]) -> Result<(), Error> {
        self.group_of(path)?;
        let made = self
            .file
            .new_dataset::<T>()
            .shape(shape.to_vec())
            .create(path)
            .and_then(|set| {
                if cells.is_empty() {
                    Ok(())
                } else {
                    set.write_raw(cells)
                }
            });
        self.wrap("write a data set", made)
    }

    pub fn scalar<T: Cell>(&self, path: &str, value: T) -> Result<(), Error> {
        self.array(path, &[], &[value])
    }

    pub fn text(&self, path: &str, text: &str) -> Result<(), Error> {
        self.group_of(path)?;
        let made = self
            .file
            .new_dataset::<VarLenUnicode>()
            .create(path)
            .and_then(|set| set.write_scalar(&variable(text)));
        self.wrap("write a text", made)
    }

    /// A list of texts, one a row.
    pub fn texts(&self, path: &str, texts: &[String]) -> Result<(), Error> {
        self.group_of(path)?;
        let values: Vec<VarLenUnicode> = texts.iter().map(|text| variable(text)).collect();
        let made = self
            .file
            .new_dataset::<VarLenUnicode>()
            .shape(texts.len())
            .create(path)
            .and_then(|set| {
                if values.is_empty() {
                    Ok(())
                } else {
                    set.write_raw(&values)
                }
            });
        self.wrap("write a list of texts", made)
    }

    fn location(&self, path: &str) -> hdf5::Result<hdf5::Location> {
        self.file
            .dataset(path)
            .map(|set| (**set).clone())
            .or_else(|_| self.file.group(path).map(|group| (*group).clone()))
    }

    /// A text attribute of a group or data set.
    pub fn attribute(&self, path: &str, name: &str, text: &str) -> Result<(), Error> {
        let made = self.location(path).and_then(|location| {
            location
                .new_attr::<VarLenUnicode>()
                .create(name)?
                .write_scalar(&variable(text))
        });
        self.wrap("write an attribute", made)
    }

    /// A number as an attribute of a group or data set.
    pub fn number_attribute(&self, path: &str, name: &str, value: f64) -> Result<(), Error> {
        let made = self.location(path).and_then(|location| {
            location
                .new_attr::<f64>()
                .create(name)?
                .write_scalar(&value)
        });
        self.wrap("write an attribute", made)
    }

    pub fn soft_link(&self, path: &str, target: &str) -> Result<(), Error> {
        self.group_of(path)?;
        self.wrap("write a link", self.file.link_soft(target, path))
    }

    pub fn external_link(&self, path: &str, file: &str, target: &str) -> Result<(), Error> {
        self.group_of(path)?;
        self.wrap("write a link", self.file.link_external(file, target, path))
    }

    /// A virtual data set (frames, height, width) of the type T.
    pub fn virtual_frames<T: Cell>(
        &self,
        path: &str,
        shape: [usize; 3],
        pieces: &[VirtualPiece],
    ) -> Result<(), Error> {
        self.group_of(path)?;
        let [_, height, width] = shape;
        let rows = |first: usize, count: usize| {
            let slice = |start, count| SliceOrIndex::SliceCount {
                start,
                step: 1,
                count,
                block: 1,
            };
            Selection::from(Hyperslab::from(vec![
                slice(first, count),
                slice(0, height),
                slice(0, width),
            ]))
        };
        let mut builder = self.file.new_dataset::<T>().shape(shape.to_vec());
        for piece in pieces {
            builder = builder.virtual_map(
                &piece.file,
                &piece.dataset,
                vec![piece.source_rows, height, width],
                rows(piece.first_row, piece.count),
                shape.to_vec(),
                rows(piece.first_frame, piece.count),
            );
        }
        self.wrap("write a virtual data set", builder.create(path))
            .map(|_| ())
    }

    /// A chunked data set, to be written chunk by chunk.
    pub fn chunks<T: Cell>(&self, path: &str, creation: &Creation) -> Result<Chunks, Error> {
        self.group_of(path)?;
        let extents: Vec<Extent> = creation
            .shape
            .iter()
            .zip(&creation.grows)
            .map(|(n, grows)| {
                if *grows {
                    Extent::resizable(*n)
                } else {
                    Extent::fixed(*n)
                }
            })
            .collect();
        let made = self
            .file
            .new_dataset::<T>()
            .chunk(creation.chunk.clone())
            .shuffle()
            .deflate(creation.gzip_level)
            .shape(extents)
            .create(path);
        Ok(Chunks {
            set: self.wrap("create a data set", made)?,
            element: size_of::<T>(),
            chunk: creation.chunk.clone(),
            shape: creation.shape.clone(),
            gzip_level: creation.gzip_level,
            path: self.path.clone(),
        })
    }

    /// Writes everything to the file and closes it.
    pub fn close(self) -> Result<(), Error> {
        let flushed = self.file.flush().and_then(|()| self.file.close());
        flushed.map_err(|error| failed(&self.path, "finish the HDF5 file", &error))
    }
}

/// HDF5 texts end at the first zero byte.
fn variable(text: &str) -> VarLenUnicode {
    text.replace('\0', " ").parse().unwrap_or_default()
}

impl Chunks {
    /// Makes the data set at least this large.
    pub fn grow(&mut self, shape: &[usize]) -> Result<(), Error> {
        let wanted: Vec<usize> = self
            .shape
            .iter()
            .zip(shape)
            .map(|(a, b)| *a.max(b))
            .collect();
        if wanted != self.shape {
            self.resize(&wanted)?;
        }
        Ok(())
    }

    /// Sets the shape.
    pub fn resize(&mut self, shape: &[usize]) -> Result<(), Error> {
        self.set
            .resize(shape.to_vec())
            .map_err(|error| failed(&self.path, "enlarge a data set", &error))?;
        self.shape = shape.to_vec();
        Ok(())
    }

    /// Writes one whole chunk whose first cell is at `offset`; compressed in the calling thread.
    #[expect(unsafe_code, reason = "the safe crate cannot write compressed chunks")]
    pub fn write<T: Cell>(&self, offset: &[usize], cells: &[T]) -> Result<(), Error> {
        let bytes: &[u8] = bytemuck::cast_slice(cells);
        let wanted = self.chunk.iter().product::<usize>() * self.element;
        if bytes.len() != wanted
            || size_of::<T>() != self.element
            || offset.len() != self.chunk.len()
        {
            return Err(Error::new(
                format!("a chunk has {} bytes instead of {wanted}", bytes.len()),
                &self.path,
            ));
        }
        let data = compress(bytes, self.element, self.gzip_level).map_err(|error| {
            Error::new(format!("cannot compress a chunk ({error})"), &self.path)
        })?;
        let offset: Vec<u64> = offset.iter().map(|n| *n as u64).collect();
        hdf5::sync::sync(|| {
            // SAFETY: the data set is open, `offset` has one number an axis, `data` as many bytes as said.
            hdf5::h5check(unsafe {
                H5Dwrite_chunk(
                    self.set.id(),
                    hdf5_sys::h5p::H5P_DEFAULT,
                    0,
                    offset.as_ptr(),
                    data.len(),
                    data.as_ptr().cast(),
                )
            })
        })
        .map(|_| ())
        .map_err(|error| failed(&self.path, "write a chunk", &error))
    }
}

/// Byte shuffle, then zlib: what the pipeline of [`Writer::chunks`] says.
fn compress(bytes: &[u8], element: usize, level: u8) -> std::io::Result<Vec<u8>> {
    let n = bytes.len() / element;
    let mut planes = vec![0u8; bytes.len()];
    for (byte, plane) in planes.chunks_exact_mut(n.max(1)).enumerate() {
        for (cell, from) in plane
            .iter_mut()
            .zip(bytes.iter().skip(byte).step_by(element))
        {
            *cell = *from;
        }
    }
    let mut encoder = flate2::write::ZlibEncoder::new(
        Vec::with_capacity(bytes.len() / 4),
        flate2::Compression::new(u32::from(level)),
    );
    encoder.write_all(&planes)?;
    encoder.finish()
}
