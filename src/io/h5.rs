//! HDF5: the only file (with its children) that names the HDF5 crates. Files are opened read-only.

mod bitshuffle;
mod blosc2;
mod file;
pub mod filters;
mod register;
mod source;
mod values;
mod virtual_map;
mod walk;
mod write;

use std::path::Path;

use hdf5_sys::h5f::{H5F_ACC_RDONLY, H5F_ACC_SWMR_READ, H5Fopen};
use hdf5_sys::h5p::{H5P_CLS_FILE_ACCESS, H5Pclose, H5Pcreate, H5Pset_file_locking};

use super::Error;

pub use source::{RawFrame, Source};
pub use values::{Value, read_all, read_row, read_texts};
pub use virtual_map::{Stack, stack};
pub use walk::{Facts, SetFacts, walk};
pub use write::{Cell, Chunks, Creation, VirtualPiece, Writer};

/// The first eight bytes of an HDF5 file (or of its superblock, after a user block).
pub const MAGIC: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

/// Whether several threads may unpack a chunk. Within HDF5 they may not: its lock is held there, and a thread of the pool
/// that waits for the lock would be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    One,
    Many,
}

/// Opens a file read-only and without HDF5's file locks, which fail on read-only network folders.
fn open(path: &Path) -> Result<hdf5::File, Error> {
    register::register_filters();
    std::fs::metadata(path).map_err(|error| Error::reading(&error, path))?;
    open_unlocked(path).map_err(|error| {
        let said = error.to_string();
        let sentence = if said.contains("truncated") || said.contains("eof") {
            "the HDF5 file is truncated; copy it again from where it came".to_owned()
        } else if said.contains("signature") {
            "this is not an HDF5 file, whatever its name says; give a file of detector frames"
                .to_owned()
        } else {
            format!(
                "cannot open the HDF5 file, it may be damaged or still being written ({})",
                short(&said)
            )
        };
        Error::new(sentence, path)
    })
}

#[expect(unsafe_code, reason = "the safe crate cannot switch file locking off")]
fn open_unlocked(path: &Path) -> hdf5::Result<hdf5::File> {
    let name = path
        .to_str()
        .and_then(|name| std::ffi::CString::new(name).ok())
        .ok_or("the file name is not valid UTF-8")?;
    hdf5::sync::sync(|| {
        // SAFETY: the library is initialised and locked by `sync`; the property list lives until it is
        // closed after the call; the name is a C string; `from_id` takes over the only reference.
        unsafe {
            let access = hdf5::h5check(H5Pcreate(*H5P_CLS_FILE_ACCESS))?;
            H5Pset_file_locking(access, 0, 1);
            // A file that a single writer still writes only opens with the flag for it.
            let id =
                hdf5::h5check(H5Fopen(name.as_ptr(), H5F_ACC_RDONLY, access)).or_else(|first| {
                    let flags = H5F_ACC_RDONLY | H5F_ACC_SWMR_READ;
                    hdf5::h5check(H5Fopen(name.as_ptr(), flags, access)).map_err(|_| first)
                });
            H5Pclose(access);
            hdf5::from_id(id?)
        }
    })
}

/// The library's words without its function names, for the end of a sentence of ours.
fn short(said: &str) -> String {
    let said = said.split_once("(): ").map_or(said, |(_, rest)| rest);
    said.lines()
        .next()
        .unwrap_or("")
        .trim_end_matches('.')
        .to_owned()
}
