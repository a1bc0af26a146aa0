//! Labels made elsewhere, into a project: sets, CXI class maps, NumPy arrays, indexed PNG, CrystFEL streams, CXI peak
//! lists, masks. [`open`] says what is in a file or what has to be asked, [`Labels::read`] gives one frame's labels,
//! [`bring`] joins them with those that are there.

mod frames;
mod lists;
mod maps;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::lists::Grower;
use self::maps::Maps;
use super::h5::{self, Facts};
use super::project::{Project, Provenance, RunKey};
use super::{Error, Run, images, masks};
use crate::domain::incoming::{self, CodeMap, ImportChoices, Incoming, OnConflict, Question};
use crate::domain::labels::{Class, Review, Sheet};

/// A file of labels: ready to be read, or with a question.
pub enum Opened {
    Ready(Box<Labels>),
    Ask(Question),
}

/// The labels of a file, and the frames that they are of.
pub struct Labels {
    /// In the order in which they are read.
    pub frames: Vec<usize>,
    /// What the user should know, a sentence each.
    pub notices: Vec<String>,
    /// What the history says of the edit.
    pub tool: String,
    source: Source,
}

enum Source {
    Maps(Box<Maps>, Box<CodeMap>, Vec<usize>),
    Lists(Box<Grower>),
    Mask(Arc<Sheet>),
}

/// One frame's labels, with the number of listed peaks and of those that grew to pixels.
pub type Read = (Incoming, [usize; 2]);

/// Looks at a file of labels for the frames of a run.
///
/// What it is decides: an HDF5 file with a class map (`FILE:/h5/path` names it) or else a peak list, a .npy of bytes
/// (N, H, W), a PNG or a folder of them in natural order, a .stream; with `mask_as` a mask of any kind. Errors: not
/// readable; of another run.
pub fn open(run: &Run, labels: &Path, choices: &ImportChoices) -> Result<Opened, Error> {
    let (file, dataset) = masks::parted(labels);
    if let Some(asked) = &choices.frames
        && (asked.is_empty() || asked.end > run.info.frames)
    {
        return Err(Error::new(
            format!(
                "--frames {}..{} does not lie within the run's 0..{}; give a part of that",
                asked.start, asked.end, run.info.frames
            ),
            labels,
        ));
    }
    let name = file.file_name();
    let name = name.map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let ready = |source, frames, notices: Option<String>, tool: String| {
        Ok(Opened::Ready(Box::new(Labels {
            frames,
            notices: notices.into_iter().collect(),
            tool,
            source,
        })))
    };
    match kind_of(&file, dataset.as_deref(), choices.mask_as)? {
        Kind::Mask => {
            let Some(class) = choices.mask_as else {
                return Ok(Opened::Ask(Question::Mask));
            };
            let (width, height) = (run.info.width, run.info.height);
            let (bits, notice) = masks::read_bad(labels, choices.masked_are, width, height)?;
            let sheet = bits.map(|bits| if *bits != 0 { class.code() } else { 0 });
            let frames = match &choices.frames {
                Some(asked) => asked.clone().collect(),
                None => (0..run.info.frames).collect(),
            };
            let notice = notice
                .replace("bad pixels", "masked pixels")
                .replace("--bad-pixels-are", "--masked-are");
            let tool = format!("import mask {name} as {}", class.name());
            ready(Source::Mask(Arc::new(sheet)), frames, Some(notice), tool)
        }
        Kind::Lists { is_stream } => {
            if is_stream && choices.reflections.is_none() {
                return Ok(Opened::Ask(Question::Reflections));
            }
            let (grower, (frames, notice)) = Grower::open(run, &file, choices)?;
            let tool = format!("import peaks of {name}");
            ready(Source::Lists(Box::new(grower)), frames, notice, tool)
        }
        Kind::Maps(maps) => {
            let unclear = maps.unclear(choices.codes.as_ref())?;
            if !unclear.is_empty() {
                return Ok(Opened::Ask(Question::Codes(unclear)));
            }
            let (matched, notice) = frames::matched(
                maps.rows,
                maps.names.as_deref(),
                choices.frames.as_ref(),
                run,
                &file,
            )?;
            let (rows, frames) = matched.into_iter().unzip();
            let codes = choices.codes.clone().unwrap_or_else(CodeMap::own);
            let source = Source::Maps(maps, Box::new(codes), rows);
            ready(source, frames, notice, format!("import {name}"))
        }
    }
}

enum Kind {
    Maps(Box<Maps>),
    Lists { is_stream: bool },
    Mask,
}

fn kind_of(file: &Path, dataset: Option<&str>, mask_as: Option<Class>) -> Result<Kind, Error> {
    if mask_as.is_some() {
        return Ok(Kind::Mask);
    }
    let ending = file.extension().map(|e| e.to_string_lossy().to_lowercase());
    let ending = ending.unwrap_or_default();
    if ending == "stream" {
        return Ok(Kind::Lists { is_stream: true });
    }
    if ending == "png" || file.is_dir() {
        return Ok(Kind::Maps(Box::new(Maps::in_png(file)?)));
    }
    if ending == "npy" {
        return Ok(Kind::Maps(Box::new(Maps::in_array(file)?)));
    }
    let first = images::prefix(file, 1024)?;
    if !first.starts_with(&h5::MAGIC) {
        return if masks::is_mask(file, &first)? {
            Ok(Kind::Mask)
        } else {
            Err(none(file))
        };
    }
    let facts = h5::walk(file)?;
    let is_list = |path: &str| facts.sets.contains_key(&format!("{path}/nPeaks"));
    if dataset.is_some_and(is_list) {
        return Ok(Kind::Lists { is_stream: false });
    }
    if let Some(maps) = Maps::in_hdf5(file, &facts, dataset)? {
        return Ok(Kind::Maps(Box::new(maps)));
    }
    if facts.sets.keys().any(|name| name.ends_with("/nPeaks")) {
        return Ok(Kind::Lists { is_stream: false });
    }
    if only_mask(&facts) {
        return Ok(Kind::Mask);
    }
    Err(none(file))
}

/// Whether there is nothing in the file but masks.
fn only_mask(facts: &Facts) -> bool {
    let mut frames = (facts.sets.iter())
        .filter(|(_, set)| set.frame_shape().is_some())
        .map(|(name, _)| name.to_lowercase())
        .peekable();
    frames.peek().is_some() && frames.all(|name| name.contains("mask"))
}

fn none(file: &Path) -> Error {
    Error::new(
        "no labels in this file; give a set (/labels), a CXI file with /entry_1/data_1/segmask or a peak list, a .stream, a \
         .npy, PNG, or a mask with --mask-as",
        file,
    )
}

impl Labels {
    /// The labels of the frame at a place of `frames`; `None` where the file says nothing of it.
    ///
    /// Errors: not readable; another size than the run's frames.
    pub fn read(&self, run: &Run, place: usize) -> Result<Option<Read>, Error> {
        let Some(&number) = self.frames.get(place) else {
            return Ok(None);
        };
        match &self.source {
            Source::Mask(sheet) => Ok(Some((Incoming::Parts(sheet.clone()), [0; 2]))),
            Source::Lists(grower) => {
                let read = grower.read(run, number)?;
                Ok(read.map(|(sheet, counts)| (Incoming::Parts(sheet), counts)))
            }
            Source::Maps(maps, codes, rows) => {
                let sheet = maps.read(rows.get(place).copied().unwrap_or(number), codes)?;
                let (width, height) = (run.info.width, run.info.height);
                if (sheet.width(), sheet.height()) != (width, height) {
                    return Err(Error::new(
                        format!(
                            "the labels are {} x {} but the frames {width} x {height}; import the run they belong to",
                            sheet.width(),
                            sheet.height(),
                        ),
                        PathBuf::from(&run.info.source),
                    ));
                }
                Ok(Some((Incoming::Whole(sheet), [0; 2])))
            }
        }
    }
}

/// What an import did to one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    pub has_changed: bool,
    /// Pixels of a person about which the labels say something else; whether they stayed is [`OnConflict`].
    pub conflicts: usize,
    /// Other labelled pixels that gave way.
    pub replaced: usize,
    /// Which pixels the labels belong to is to be noted: nobody has, or a person vouches for them anew.
    pub lacks_pixels: bool,
}

/// Joins labels with those of a frame, as one edit that can be undone.
///
/// With `reviewed` the frame is confirmed, but not where a person's pixels stayed against what came in: nobody has looked
/// at that mixture. Errors: another size; damaged labels; the disk.
pub fn bring(
    project: &mut Project,
    key: RunKey,
    number: usize,
    labels: &Incoming,
    tool: &str,
    choices: &ImportChoices,
    who: &str,
) -> Result<Brought, Error> {
    let stored = project.load_labels(key, number)?;
    let new = labels.sheet();
    let (old, hand, review) = match stored {
        Some(stored) => {
            let done = stored.history.edits.iter().take(stored.history.done);
            let edits = done.map(AsRef::as_ref);
            let hand = incoming::by_hand(&stored.sheet, edits, stored.history.older, stored.review);
            (stored.sheet, hand, stored.review)
        }
        None => (
            Sheet::filled(new.width(), new.height(), 0),
            new.map(|_| false),
            Review::Untouched,
        ),
    };
    let joined = incoming::join(&old, &hand, labels, choices.on_conflict);
    let joined = joined.ok_or_else(|| {
        Error::new(
            format!(
                "the labels are {} x {} but the frame {} x {}; import the run they belong to",
                new.width(),
                new.height(),
                old.width(),
                old.height()
            ),
            project.path(),
        )
    })?;
    let brought = Brought {
        has_changed: joined.sheet != old,
        conflicts: joined.conflicts,
        replaced: joined.replaced,
        lacks_pixels: choices.reviewed || project.pixels_of(key, number)?.is_none(),
    };
    let is_kept = joined.conflicts > 0 && choices.on_conflict == OnConflict::Keep;
    if is_kept && !brought.has_changed && review != Review::Untouched {
        return Ok(brought); // All stays as it was, the review too.
    }
    let provenance = Provenance {
        who: who.to_owned(),
        net: None,
    };
    let reviewed = choices.reviewed && !is_kept;
    project.import_sheet(key, number, &joined.sheet, tool, reviewed, &provenance)?;
    Ok(brought)
}

/// What an import did, frame after frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames whose labels were brought in.
    pub frames: usize,
    pub changed: usize,
    /// Frames with conflicts and the pixels of each.
    pub conflicts: Vec<(usize, usize)>,
    pub replaced: usize,
    /// Peaks and reflections that were listed, and those that grew to pixels.
    pub listed: usize,
    pub grown: usize,
}

impl Tally {
    pub fn add(&mut self, number: usize, brought: Brought, [listed, grown]: [usize; 2]) {
        self.frames += 1;
        self.changed += usize::from(brought.has_changed);
        self.replaced += brought.replaced;
        self.listed += listed;
        self.grown += grown;
        if brought.conflicts > 0 {
            self.conflicts.push((number, brought.conflicts));
        }
    }

    pub fn conflict_pixels(&self) -> usize {
        self.conflicts.iter().map(|(_, pixels)| pixels).sum()
    }

    /// What the user should know, a sentence each.
    pub fn sentences(&self, on_conflict: OnConflict) -> Vec<String> {
        let mut said = Vec::new();
        if !self.conflicts.is_empty() {
            let what = match on_conflict {
                OnConflict::Keep => "were kept as they were",
                OnConflict::Replace => "gave way (undo brings them back, frame by frame)",
            };
            said.push(format!(
                "{} pixels that a person had painted or confirmed differ in {} frames and {what}",
                self.conflict_pixels(),
                self.conflicts.len()
            ));
        }
        if self.replaced > 0 {
            said.push(format!(
                "{} other labelled pixels (of nets and earlier imports) gave way",
                self.replaced
            ));
        }
        if self.listed > self.grown {
            said.push(format!(
                "{} of {} listed peaks are not labelled, nothing stands out of its surroundings there",
                self.listed - self.grown,
                self.listed
            ));
        }
        said
    }
}
