//! A scripted painter: random gestures through the real path, the same again from the same seed and state.

use std::sync::Arc;

use peaknet_studio::domain::brush::{self, Paint};
use peaknet_studio::domain::frame::RunInfo;
use peaknet_studio::domain::grid::{Grid, Pixel, PixelRect};
use peaknet_studio::domain::labels::{Class, Edit, History, Review, Sheet};
use peaknet_studio::io::project::{Error, Project, Provenance, RunKey, StoredLabels};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// The run that is painted on; it needs no file.
pub fn run_info(frames: usize, width: usize, height: usize) -> RunInfo {
    RunInfo {
        name: "painted.h5".to_owned(),
        source: "/nowhere/painted.h5".to_owned(),
        frames,
        width,
        height,
        dtype: "uint16".to_owned(),
        ..RunInfo::default()
    }
}

/// The labels of one frame in memory, as the session holds them.
#[derive(Clone, Debug)]
pub struct Labels {
    pub sheet: Sheet,
    pub history: History,
    pub review: Review,
}

impl Labels {
    pub fn blank(width: usize, height: usize) -> Self {
        Self {
            sheet: Sheet::filled(width, height, 0),
            history: History::default(),
            review: Review::Untouched,
        }
    }

    pub fn of(stored: StoredLabels) -> Self {
        Self {
            sheet: stored.sheet,
            history: stored.history,
            review: stored.review,
        }
    }

    /// Equal cell by cell and step by step; the message names what differs.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.sheet != other.sheet {
            return Some("the sheets differ".to_owned());
        }
        if self.history.done != other.history.done || self.history.edits != other.history.edits {
            return Some(format!(
                "the histories differ: {} of {} done against {} of {}",
                self.history.done,
                self.history.edits.len(),
                other.history.done,
                other.history.edits.len()
            ));
        }
        (self.review != other.review)
            .then(|| format!("{:?} against {:?}", self.review, other.review))
    }
}

pub fn load_all(project: &mut Project, run: RunKey, info: &RunInfo) -> Result<Vec<Labels>, Error> {
    (0..info.frames)
        .map(|frame| {
            let stored = project.load_labels(run, frame)?;
            Ok(stored.map_or_else(|| Labels::blank(info.width, info.height), Labels::of))
        })
        .collect()
}

#[derive(Clone, Debug)]
pub enum Gesture {
    Edit(usize, Arc<Edit>),
    Undo(usize),
    Redo(usize),
    Review(usize, Review),
}

impl Gesture {
    pub fn commit(&self, project: &mut Project, run: RunKey) -> Result<(), Error> {
        let provenance = Provenance {
            who: "painter".to_owned(),
            net: None,
        };
        match self {
            Self::Edit(frame, edit) => project.store_edit(run, *frame, edit, &provenance),
            Self::Undo(frame) => project.undo(run, *frame),
            Self::Redo(frame) => project.redo(run, *frame),
            Self::Review(frame, review) => project.set_review(run, *frame, *review),
        }
    }
}

pub struct Painter {
    random: Pcg64,
    bad: Grid<u16>,
}

impl Painter {
    pub fn new(seed: u64, width: usize, height: usize) -> Self {
        Self {
            random: Pcg64::seed_from_u64(seed),
            bad: Grid::from_fn(width, height, |x, y| u16::from(x % 97 == 3 || y % 101 == 5)),
        }
    }

    /// Does the next gesture in memory, as the session does, and returns what is to be stored.
    pub fn next(&mut self, frames: &mut [Labels]) -> Gesture {
        loop {
            let number = self.random.random_range(0..frames.len());
            let labels = &mut frames[number];
            let gesture = match self.random.random_range(0..100) {
                0..15 => labels
                    .history
                    .undo(&mut labels.sheet)
                    .map(|_| Gesture::Undo(number)),
                15..25 => labels
                    .history
                    .redo(&mut labels.sheet)
                    .map(|_| Gesture::Redo(number)),
                25..30 => {
                    labels.review = *[Review::Confirmed, Review::Flagged]
                        .choose(&mut self.random)
                        .expect("two of them");
                    return Gesture::Review(number, labels.review);
                }
                _ => self.paint(labels).map(|edit| Gesture::Edit(number, edit)),
            };
            if let Some(gesture) = gesture {
                if labels.review != Review::Flagged {
                    labels.review = Review::Started;
                }
                return gesture;
            }
        }
    }

    fn paint(&mut self, labels: &mut Labels) -> Option<Arc<Edit>> {
        let before = labels.sheet.clone();
        let (width, height) = (before.width(), before.height());
        let class = *Class::ALL.choose(&mut self.random)?;
        let paint = Paint {
            class,
            only_background: self.random.random_bool(0.3),
        };
        let mut point = || {
            (
                self.random.random_range(-9.0..width as f32 + 9.0),
                self.random.random_range(-9.0..height as f32 + 9.0),
            )
        };
        let (sheet, bad) = (&mut labels.sheet, &self.bad);
        let corners = [point(), point(), point(), point()];
        let (tool, touched) = match self.random.random_range(0..10) {
            0 => ("polygon", brush::polygon(sheet, bad, &corners, paint)),
            1 => {
                let at = Pixel {
                    x: self.random.random_range(0..width),
                    y: self.random.random_range(0..height),
                };
                ("fill", brush::fill(sheet, bad, at, class))
            }
            _ => {
                let diameter = self.random.random_range(1.0..60.0);
                let mut touched = PixelRect::new(0, 0, 0, 0);
                for pair in corners.windows(2) {
                    let rect = brush::stroke(sheet, bad, pair[0], pair[1], diameter, paint);
                    touched = touched.union(&rect);
                }
                ("brush", touched)
            }
        };
        let edit = Edit::between(&before, &labels.sheet, touched, tool).map(Arc::new)?;
        labels.history.push(edit.clone());
        Some(edit)
    }
}
