//! Files to domain and back. Sources are opened read-only, always; what is written appears whole.

mod axes;
pub mod cache;
pub mod crystfel;
pub mod cxi_out;
pub mod demo;
pub mod export;
pub mod h5;
pub mod images;
pub mod import;
pub mod keys;
pub mod layouts;
pub mod lists;
pub mod masks;
pub mod number;
pub mod paths;
pub mod peak_list;
pub mod poni;
pub mod project;
pub mod run;
pub mod set;
pub mod settings;
pub mod simulated;
pub mod stream;

use std::path::{Path, PathBuf};

pub use run::{OpenOptions, Run, open_run};

/// Why a file cannot be read or written: one sentence with its cure, the path last.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}: {}", .path.display())]
pub struct Error {
    pub sentence: String,
    pub path: PathBuf,
}

impl Error {
    pub fn new(sentence: impl Into<String>, path: impl AsRef<Path>) -> Self {
        Self {
            sentence: sentence.into(),
            path: path.as_ref().to_owned(),
        }
    }

    /// The sentence for an error of the operating system while a file is read.
    pub fn reading(error: &std::io::Error, path: &Path) -> Self {
        let sentence = match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                "no such file or folder; check the name".to_owned()
            }
            std::io::ErrorKind::PermissionDenied => {
                "no permission to read this; ask its owner for it".to_owned()
            }
            std::io::ErrorKind::UnexpectedEof => {
                "the file is truncated; copy it again from where it came".to_owned()
            }
            _ => format!("cannot read the file ({error}); check the disk or the network"),
        };
        Self::new(sentence, path)
    }
}

impl From<crate::fs::Error> for Error {
    fn from(error: crate::fs::Error) -> Self {
        let (sentence, path) = match &error {
            crate::fs::Error::Exists(path) => (
                "the file exists; give --force to replace it".to_owned(),
                path.clone(),
            ),
            crate::fs::Error::NoFolder(path) => (
                "the folder of the output does not exist; make it, or choose another".to_owned(),
                path.clone(),
            ),
            crate::fs::Error::Io {
                doing,
                path,
                source,
            } => (
                format!(
                    "cannot {doing} ({source}); check the folder, its permissions and the space left"
                ),
                path.clone(),
            ),
        };
        Self { sentence, path }
    }
}
