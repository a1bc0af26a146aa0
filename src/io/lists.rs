//! What another program found in a run: the peak list of a CXI file, or a CrystFEL stream.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::h5::Facts;
use super::stream::Stream;
use super::{Error, peak_list};
use crate::domain::listed::Listed;
use crate::domain::peaks::Peak;

/// Peak lists with more places than this are not held in memory.
const MOST_LISTED: usize = 50_000_000;

/// Where it stands.
#[derive(Debug)]
pub enum Lists {
    Stream(Stream),
    /// A CXI file, row i about frame i; read when first asked for.
    Cxi(PathBuf, OnceLock<Vec<Vec<Peak>>>),
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
        Ok(Self::Cxi(path.to_owned(), OnceLock::from(lists)))
    }

    /// The peak list that a CXI file has beside its frames, unless it is too large.
    pub fn own(facts: &Facts) -> Option<Self> {
        let set = facts
            .sets
            .get(&format!("{}/peakXPosRaw", peak_list::GROUP))?;
        facts.sets.get(&format!("{}/nPeaks", peak_list::GROUP))?;
        let places = set
            .shape
            .iter()
            .try_fold(1_usize, |all, n| all.checked_mul(*n))?;
        (places <= MOST_LISTED).then(|| Self::Cxi(facts.path.clone(), OnceLock::new()))
    }

    /// What is said of a frame; `None` where it is not known.
    ///
    /// A stream names the file that was given to CrystFEL: the one that was `opened` here, or the one `behind` it, each with
    /// the frame's row there. Errors: the list has gone or is damaged.
    pub fn of(
        &self,
        number: usize,
        opened: Option<(&Path, usize)>,
        behind: impl FnOnce() -> Option<(String, usize)>,
    ) -> Result<Option<Listed>, Error> {
        match self {
            Self::Stream(stream) => {
                let given =
                    opened.and_then(|(file, row)| stream.find(&file.to_string_lossy(), row));
                let index = given.or_else(|| {
                    let (file, row) = behind()?;
                    stream.find(&file, row)
                });
                index.map(|index| stream.read(index)).transpose()
            }
            Self::Cxi(path, lists) => {
                let lists = match lists.get() {
                    Some(lists) => lists,
                    None => {
                        let read = peak_list::read_peaks(path)?;
                        lists.get_or_init(|| read)
                    }
                };
                // Row i is about row i of the file: of the opened one, where the list is its own.
                let own = opened.filter(|(file, _)| crate::fs::is_same_file(file, path));
                let row = own.map_or(number, |(_, row)| row);
                Ok(lists.get(row).map(|peaks| Listed {
                    found: peaks.iter().map(|peak| (peak.x, peak.y)).collect(),
                    ..Listed::default()
                }))
            }
        }
    }
}
