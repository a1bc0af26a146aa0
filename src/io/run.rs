//! A run: frames of one detector from one or many files, opened by facts, read frame by frame.

mod join;
mod modules;
mod open;
mod stack;

use std::path::{Path, PathBuf};

use self::modules::ModulesPart;
use self::stack::StackPart;
use super::crystfel::{Geom, Rules};
use super::h5::Source;
use super::images::raw::RawLayout;
use super::lists::Lists;
use super::{Error, images};
use crate::domain::frame::{Frame, MaskPolarity, RunInfo, SourceRange};
use crate::domain::grid::Grid;
use crate::domain::listed::Listed;

pub use self::open::open_run;

/// What the user says about a run that its files do not, or say wrongly.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// A .geom or .poni file.
    pub geometry: Option<PathBuf>,
    /// What another program found: a CXI file with a peak list, or a CrystFEL stream.
    pub peaks: Option<PathBuf>,
    /// Masks of bad pixels, files of their own; `FILE:/h5/path` names a data set in one.
    pub bad_pixels: Vec<PathBuf>,
    pub bad_pixels_are: MaskPolarity,
    /// The HDF5 path of the frames.
    pub dataset: Option<String>,
    /// Of pixels without a header: (height, width) or (frames, height, width), and NumPy's name of their type.
    pub shape: Vec<usize>,
    pub dtype: Option<String>,
    pub wavelength_angstrom: Option<f64>,
    pub detector_distance_m: Option<f64>,
    pub pixel_size_m: Option<f64>,
    /// As the user gives it: the centre of the first pixel is 0.0.
    pub beam_center_px: Option<[f64; 2]>,
}

/// An opened run. Reading is possible from any thread; no file stays open between readings.
#[derive(Debug)]
pub struct Run {
    pub info: RunInfo,
    /// Every file that was given or found to be read.
    inputs: Vec<PathBuf>,
    /// The file that each part was opened from.
    opened: Vec<PathBuf>,
    parts: Vec<Part>,
    /// The part of each frame and its place there.
    frames: Vec<(usize, usize)>,
    /// The CrystFEL geometry that was given, and what it says against pixels.
    geom: Option<Geom>,
    rules: Rules,
    /// Bits of the masks that were given.
    masked: Option<Grid<u16>>,
    lists: Option<Lists>,
    /// What it was opened with, and what its files were then.
    paths: Vec<PathBuf>,
    options: OpenOptions,
    opened_at: Trace,
}

/// Sizes and times of a run's files: another trace means that something was written.
pub type Trace = Vec<(u64, Option<std::time::SystemTime>)>;

/// Of a run of more files only the last ones can grow; new ones change the folder's own time.
const MOST_TRACED: usize = 200;

#[derive(Debug)]
enum Part {
    Stack(Box<StackPart>),
    Modules(Box<ModulesPart>),
    Image {
        file: PathBuf,
        frames: usize,
        raw: Option<RawLayout>,
    },
}

impl Run {
    /// The trace of the files now.
    pub fn trace(&self) -> Trace {
        trace(&self.paths, &self.inputs)
    }

    /// The trace of the files when the run was opened.
    pub fn opened_at(&self) -> Trace {
        self.opened_at.clone()
    }

    /// Opens the same paths again, with what was written since.
    ///
    /// Errors: as [`open_run`].
    pub fn reopen(&self) -> Result<Self, Error> {
        open_run(&self.paths, &self.options)
    }

    /// Whether all frames of an earlier opening are the first frames of this one.
    pub fn continues(&self, before: &Self) -> bool {
        let is_one_size =
            (self.info.width, self.info.height) == (before.info.width, before.info.height);
        // A frame that had no source may have got one.
        let is_same = |number: usize| match before.identity(number) {
            Some(identity) => self.identity(number) == Some(identity),
            None => true,
        };
        is_one_size
            && self.info.frames >= before.info.frames
            && (0..before.info.frames).all(is_same)
    }

    /// Refuses an output that is one of the files that are read: no switch may destroy a source.
    ///
    /// Errors: the sentence that says so.
    pub fn refuse_to_replace(&self, out: &Path) -> Result<(), Error> {
        if out.exists() && self.reads(out) {
            return Err(Error::new(
                "this is one of the files of the run itself; choose another name for the output",
                out,
            ));
        }
        Ok(())
    }

    /// Whether a file is one of those that are read.
    pub fn reads(&self, file: &Path) -> bool {
        let mut inputs = self.inputs.iter();
        inputs.any(|input| crate::fs::is_same_file(input, file))
    }

    /// The sentence for frames that are a detector's uncalibrated readings, which no net or finder can make sense of.
    pub fn warning(&self, frame: &Frame) -> Option<String> {
        (self.info.dtype == "uint16" && frame.looks_uncalibrated()).then(|| {
            format!(
                "the frames look like uncalibrated readings (pedestals, gain bits), in which nothing can be found; give the calibrated run: {}",
                self.info.name
            )
        })
    }

    /// What another program's list says of a frame; `None` where there is no list or it does not know the frame.
    ///
    /// Errors: the list has gone or is damaged.
    pub fn listed(&self, number: usize) -> Result<Option<Listed>, Error> {
        match &self.lists {
            Some(lists) => self.listed_in(lists, number),
            None => Ok(None),
        }
    }

    /// What a list says of a frame, whether the run was opened with it or not; `None` where it does not know the frame.
    ///
    /// Errors: the list has gone or is damaged.
    pub fn listed_in(&self, lists: &Lists, number: usize) -> Result<Option<Listed>, Error> {
        let Some((part, local)) = self.frames.get(number).copied() else {
            return Ok(None);
        };
        let behind = || self.origin(number).map(|(file, _, row)| (file, row));
        let (words, row) = match self.words(number) {
            Some((words, row)) => (words.as_str(), *row),
            None => ("", local),
        };
        let opened = self.opened.get(part).map(|file| (file.as_path(), row));
        lists.of(number, words, opened, behind)
    }

    /// Reads one frame, with the detector's own bad pixels; any thread.
    ///
    /// Errors: no such frame; its file has gone, is truncated or damaged.
    pub fn read_frame(&self, number: usize) -> Result<Frame, Error> {
        let Some((part, local)) = self.frames.get(number).copied() else {
            return Err(Error::new(
                format!("no frame {number}; the run has {}", self.info.frames),
                &self.info.source,
            ));
        };
        let (width, height) = (self.info.width, self.info.height);
        let (pixels, mut bits) = match self.parts.get(part) {
            Some(Part::Stack(stack)) => stack.read(local, width * height)?,
            Some(Part::Modules(modules)) => modules.read(local)?,
            Some(Part::Image { file, raw, .. }) => {
                let image = images::read(file, local, raw.as_ref())?;
                if (image.width, image.height) != (width, height) {
                    return Err(Error::new(
                        "the frame has another size than the run; open it apart",
                        file,
                    ));
                }
                (image.pixels, image.bad)
            }
            None => return Err(Error::new(format!("no frame {number}"), &self.info.source)),
        };
        if let Some(masked) = &self.masked {
            for (bits, masked) in bits.iter_mut().zip(masked.cells()) {
                *bits |= masked;
            }
        }
        self.rules.apply(width, &pixels, &mut bits);
        let wrong = || {
            Error::new(
                format!("frame {number} has the wrong size"),
                &self.info.source,
            )
        };
        let pixels = Grid::from_cells(width, height, pixels).ok_or_else(wrong)?;
        let bits = Grid::from_cells(width, height, bits).ok_or_else(wrong)?;
        Frame::from_reader(number, pixels, bits).ok_or_else(wrong)
    }

    /// The HDF5 source and row of a frame; `None` for images and for frames whose source is missing.
    pub fn hdf5_row(&self, number: usize) -> Option<(&Source, usize)> {
        let (part, local) = *self.frames.get(number)?;
        let Part::Stack(stack) = self.parts.get(part)? else {
            return None;
        };
        let (source, row) = (*stack.rows.get(local)?)?;
        Some((stack.sources.get(source)?, row))
    }

    /// Where a frame really lies: file, data set and row.
    fn origin(&self, number: usize) -> Option<(String, Option<String>, usize)> {
        let (part, local) = *self.frames.get(number)?;
        match self.parts.get(part)? {
            Part::Stack(stack) => stack.origin(local),
            Part::Modules(modules) => {
                let (stack, at) = modules.first(local)?;
                stack.origin(at)
            }
            Part::Image { file, .. } => Some((file.display().to_string(), None, local)),
        }
    }

    /// What a frame is, whatever else the run has: its place in a file, or its train and pulse.
    fn identity(&self, number: usize) -> Option<(String, Option<String>, usize)> {
        let (part, local) = *self.frames.get(number)?;
        match self.parts.get(part)? {
            Part::Modules(modules) => {
                let (train, pulse) = modules.id(local)?;
                Some((format!("{train}:{pulse}"), None, 0))
            }
            _ => self.origin(number),
        }
    }

    /// The words for `%` of a frame and its row there, where frames are named so.
    fn words(&self, number: usize) -> Option<&(String, usize)> {
        let (part, local) = *self.frames.get(number)?;
        match self.parts.get(part)? {
            Part::Stack(stack) => stack.events.get(local),
            _ => None,
        }
    }

    /// Whether frames lie in the files as they are, so that links to them are enough; modules are put together here.
    pub fn is_linkable(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Stack(_)))
    }

    /// The CrystFEL geometry that was given.
    pub const fn geom(&self) -> Option<&Geom> {
        self.geom.as_ref()
    }

    /// What is wrong with one frame, one sentence each: parts that are missing, and frames that were never written.
    pub fn problems(&self, frame: &Frame) -> Vec<String> {
        let mut problems = Vec::new();
        let place = self.frames.get(frame.number).copied();
        let part = place.and_then(|(part, local)| Some((self.parts.get(part)?, local)));
        match part {
            Some((Part::Stack(stack), local)) if stack.rows.get(local) == Some(&None) => {
                problems.push(
                    "its source file is missing; put it back and open the run again".to_owned(),
                );
                return problems;
            }
            Some((Part::Modules(modules), local)) => {
                let missing = modules.missing(local);
                if !missing.is_empty() && missing.len() < modules.modules() {
                    let list: Vec<String> = missing.iter().map(usize::to_string).collect();
                    problems.push(format!("the modules {} are missing", list.join(", ")));
                }
            }
            _ => {}
        }
        problems.extend(frame.emptiness().map(str::to_owned));
        problems
    }

    /// Which frames come from which file, in order; frames whose source is missing are in none.
    pub fn sources(&self) -> Vec<SourceRange> {
        let mut ranges: Vec<SourceRange> = Vec::new();
        for number in 0..self.frames.len() {
            let Some((file, dataset, row)) = self.origin(number) else {
                continue;
            };
            if let Some(last) = ranges.last_mut()
                && last.frames.end == number
                && last.first_row + last.frames.len() == row
                && last.file == file
                && last.dataset == dataset
            {
                last.frames.end += 1;
            } else {
                ranges.push(SourceRange {
                    frames: number..number + 1,
                    file,
                    dataset,
                    first_row: row,
                });
            }
        }
        ranges
    }

    /// The frame's name in event lists: its real file, and `//row` where the file has several.
    pub fn event(&self, number: usize) -> String {
        let several = match self
            .frames
            .get(number)
            .and_then(|(part, _)| self.parts.get(*part))
        {
            Some(Part::Image { frames, .. }) => *frames > 1,
            _ => true,
        };
        if let (Some((words, row)), Some((file, ..))) = (self.words(number), self.origin(number)) {
            return format!("{file} {words}//{row}");
        }
        match self.origin(number) {
            Some((file, _, row)) if several => format!("{file} //{row}"),
            Some((file, ..)) => file,
            None => format!("missing //{number}"),
        }
    }
}

fn trace(paths: &[PathBuf], inputs: &[PathBuf]) -> Trace {
    let last = inputs.len().saturating_sub(MOST_TRACED);
    let all = paths.iter().chain(inputs.get(last..).unwrap_or(inputs));
    all.map(|path| {
        // A pattern is no file; what it finds lies in its folder.
        let is_pattern = path.to_string_lossy().contains(['*', '?', '[']) && !path.exists();
        let path = if is_pattern {
            path.parent()
                .filter(|folder| !folder.as_os_str().is_empty())
        } else {
            Some(path.as_path())
        };
        let path = path.unwrap_or(Path::new("."));
        let facts = std::fs::metadata(path).ok();
        let size = facts.as_ref().map_or(0, std::fs::Metadata::len);
        (size, facts.and_then(|facts| facts.modified().ok()))
    })
    .collect()
}
