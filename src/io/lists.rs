//! What another program found in a run: the peak list of a CXI file, or a CrystFEL stream.

use std::path::{Path, PathBuf};

use super::h5::Facts;
use super::stream::Stream;
use super::{Error, peak_list};
use crate::domain::listed::Listed;
use crate::domain::peaks::Peak;

/// Where it stands.
#[derive(Debug)]
pub enum Lists {
    Stream(Stream),
    /// A CXI file that the user named, row i about frame i.
    Named(PathBuf, Vec<Vec<Peak>>),
    /// The list beside the frames of a CXI file, read a row at a time.
    Own(PathBuf),
}

impl Lists {
    /// A peak list or stream that the user names.
    ///
    /// Errors: not readable; neither a list nor a stream.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let is_stream = path
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("stream"));
        if is_stream {
            return Ok(Self::Stream(Stream::open(path)?));
        }
        let lists = peak_list::read_peaks(path)?;
        Ok(Self::Named(path.to_owned(), lists))
    }

    /// The peak list that a CXI file has beside its frames.
    pub fn own(facts: &Facts) -> Option<Self> {
        let has = |name: &str| {
            facts
                .sets
                .contains_key(&format!("{}/{name}", peak_list::GROUP))
        };
        let is_whole = ["nPeaks", "peakXPosRaw", "peakYPosRaw"]
            .into_iter()
            .all(has);
        is_whole.then(|| Self::Own(facts.path.clone()))
    }

    /// What is said of a frame; `None` where it is not known.
    ///
    /// `words` stand for `%` in the path of the frame. A stream names the file that was given to CrystFEL: the one that was `opened` here, or the one `behind` it, each with
    /// the frame's row there. Errors: the list has gone or is damaged.
    pub fn of(
        &self,
        number: usize,
        words: &str,
        opened: Option<(&Path, usize)>,
        behind: impl FnOnce() -> Option<(String, usize)>,
    ) -> Result<Option<Listed>, Error> {
        match self {
            Self::Stream(stream) => {
                let given =
                    opened.and_then(|(file, row)| stream.find(&file.to_string_lossy(), words, row));
                let index = given.or_else(|| {
                    let (file, row) = behind()?;
                    stream.find(&file, words, row)
                });
                index.map(|index| stream.read(index)).transpose()
            }
            Self::Named(path, lists) => {
                let peaks = lists.get(row_in(path, number, opened));
                Ok(peaks.map(|peaks| Listed {
                    found: peaks.iter().map(|peak| (peak.x, peak.y)).collect(),
                    ..Listed::default()
                }))
            }
            Self::Own(path) => {
                let found = peak_list::read_row(path, row_in(path, number, opened))?;
                Ok(found.map(|found| Listed {
                    found,
                    ..Listed::default()
                }))
            }
        }
    }
}

/// Row i is about row i of the file: of the opened one, where the list is its own; else about frame i.
fn row_in(list: &Path, number: usize, opened: Option<(&Path, usize)>) -> usize {
    let own = opened.filter(|(file, _)| crate::fs::is_same_file(file, list));
    own.map_or(number, |(_, row)| row)
}
