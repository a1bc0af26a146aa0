//! What is drawn in the frame's place: neighbours added up, a neighbour alone, the powder of the run. Labels stay the frame's own.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Session;
use super::job::{FrameKey, Job, Picture, PowderOrder, StackOrder};
use crate::domain::frame::Frame;
use crate::domain::grid::Grid;
use crate::domain::stack::Combine;

/// Frames before and after the shown one that can be added up with it.
pub const REACHES: std::ops::RangeInclusive<usize> = 1..=50;
/// Thumbnails kept in memory; each has 9 KB at most.
const THUMBNAILS: usize = 2000;

/// What is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beneath {
    #[default]
    Own,
    /// The frame and those before and after it.
    Stack(Combine),
    /// The frame so many places on.
    Neighbour(isize),
    /// What the run was last added up to.
    Powder,
}

/// What shall be drawn, and the pictures that are there for it.
#[derive(Debug)]
pub struct Underlay {
    pub wanted: Beneath,
    /// How many frames before and as many after are added up.
    pub reach: usize,
    pub is_blinking: bool,
    phase: usize,
    serial: u64,
    asked: Option<Question>,
    picture: Option<(Question, Picture)>,
    pub powder: Option<Picture>,
    /// Frames that are in the powder, and that shall be in it, while it is made.
    pub powder_progress: Option<(usize, usize)>,
    powder_serial: u64,
    powder_of: (Combine, usize),
}

type Question = (FrameKey, Beneath, usize);

impl Default for Underlay {
    fn default() -> Self {
        Self {
            wanted: Beneath::Own,
            reach: 2,
            is_blinking: false,
            phase: 0,
            serial: 0,
            asked: None,
            picture: None,
            powder: None,
            powder_progress: None,
            powder_serial: 0,
            powder_of: (Combine::Maximum, 0),
        }
    }
}

impl Underlay {
    /// Whether a picture is being made that is to be drawn.
    pub const fn is_waiting(&self) -> bool {
        self.asked.is_some()
    }

    /// What is left when another run is opened.
    pub(super) fn forget(&mut self) {
        *self = Self {
            reach: self.reach,
            serial: self.serial,
            powder_serial: self.powder_serial + 1,
            ..Self::default()
        };
    }
}

/// Small pictures of frames, made when they are looked at.
#[derive(Debug, Default)]
pub struct Thumbnails {
    kept: HashMap<usize, Arc<Grid<u8>>>,
    order: VecDeque<usize>,
    /// The frames that were asked for last.
    pub wanted: Vec<usize>,
}

impl Thumbnails {
    pub fn get(&self, number: usize) -> Option<&Arc<Grid<u8>>> {
        self.kept.get(&number)
    }
}

impl Session {
    /// The picture that stands in the shown frame's place, if it is there.
    fn drawn_picture(&self) -> Option<&Picture> {
        let shown = self.shown.as_ref()?;
        let underlay = &self.underlay;
        let picture = match underlay.wanted {
            Beneath::Own => None,
            Beneath::Powder => underlay.powder.as_ref(),
            wanted => {
                let question = (shown.key, wanted, underlay.reach);
                let picture = underlay.picture.as_ref();
                picture.filter(|(of, _)| *of == question).map(|(_, p)| p)
            }
        };
        picture.filter(|picture| picture.frame.pixels.rect() == shown.loaded.frame.pixels.rect())
    }

    /// The pixels on the canvas: the shown frame's, or the picture in its place.
    pub fn drawn_frame(&self) -> Option<&Arc<Frame>> {
        let own = || self.shown.as_ref().map(|shown| &shown.loaded.frame);
        self.drawn_picture()
            .map(|picture| &picture.frame)
            .or_else(own)
    }

    pub(super) fn drawn_statistics(&self) -> Option<&crate::domain::frame::Statistics> {
        self.drawn_picture().map(|picture| &picture.statistics)
    }

    /// What is drawn in the shown frame's place, in words.
    pub fn drawn_words(&self) -> Option<String> {
        self.drawn_picture()?;
        let here = self.shown.as_ref()?.key.number;
        let (combine, frames) = self.underlay.powder_of;
        Some(match self.underlay.wanted {
            Beneath::Own => return None,
            Beneath::Stack(combine) => {
                let range = self.around(here);
                format!(
                    "{} of frames {} to {}",
                    combine.name(),
                    range.start + 1,
                    range.end
                )
            }
            Beneath::Neighbour(by) => {
                format!("frame {}", here.saturating_add_signed(by) + 1)
            }
            Beneath::Powder => format!("powder: {} of {frames} frames", combine.name()),
        })
    }

    fn around(&self, number: usize) -> std::ops::Range<usize> {
        let reach = self.underlay.reach;
        number.saturating_sub(reach)..(number + reach + 1).min(self.rows.len())
    }

    pub(super) fn set_beneath(&mut self, wanted: Beneath) {
        self.underlay.is_blinking = false;
        self.underlay.wanted = wanted;
        if wanted == Beneath::Powder
            && self.underlay.powder.is_none()
            && self.underlay.powder_progress.is_none()
        {
            self.make_powder(Combine::Maximum);
        }
        self.ask_stack();
    }

    pub(super) fn set_reach(&mut self, reach: usize) {
        self.underlay.reach = reach.clamp(*REACHES.start(), *REACHES.end());
        self.ask_stack();
    }

    pub(super) fn set_blink(&mut self, on: bool) {
        self.set_beneath(Beneath::Own);
        self.underlay.is_blinking = on && self.rows.len() > 1;
        self.underlay.phase = 0;
    }

    /// The next picture of the blinking: the frame, the one after, the frame, the one before.
    pub(super) fn blink_on(&mut self) {
        if !self.underlay.is_blinking || self.pending.is_waiting() {
            return;
        }
        let phase = (self.underlay.phase + 1) % 4;
        self.underlay.phase = phase;
        self.underlay.wanted = match phase {
            1 => Beneath::Neighbour(1),
            3 => Beneath::Neighbour(-1),
            _ => Beneath::Own,
        };
        self.ask_stack();
    }

    /// Asks for the picture that shall be drawn, unless it is there.
    pub(super) fn ask_stack(&mut self) {
        self.underlay.asked = None;
        let Some(key) = self.shown.as_ref().map(|shown| shown.key) else {
            return;
        };
        let wanted = self.underlay.wanted;
        let question = (key, wanted, self.underlay.reach);
        let picture = self.underlay.picture.as_ref();
        if picture.is_some_and(|(of, _)| *of == question) {
            return;
        }
        let (combine, frames) = match wanted {
            Beneath::Own | Beneath::Powder => return,
            Beneath::Stack(combine) => (combine, self.around(key.number).collect()),
            Beneath::Neighbour(by) => {
                let neighbour = key.number.checked_add_signed(by);
                let Some(number) = neighbour.filter(|number| *number < self.rows.len()) else {
                    return;
                };
                (Combine::Maximum, vec![number])
            }
        };
        self.underlay.serial += 1;
        self.underlay.asked = Some(question);
        self.jobs.push(Job::Stack(StackOrder {
            serial: self.underlay.serial,
            key,
            combine,
            frames,
        }));
    }

    pub(super) fn stacked(&mut self, serial: u64, result: Result<Picture, String>) {
        if serial != self.underlay.serial {
            return;
        }
        let Some(question) = self.underlay.asked.take() else {
            return;
        };
        match result {
            Ok(picture) => self.underlay.picture = Some((question, picture)),
            Err(reason) => self.notice(reason),
        }
    }

    /// Adds up all frames of the run, or those that the filter lists, in the background.
    pub(super) fn make_powder(&mut self, combine: Combine) {
        let Some(run) = self.run.as_ref().map(|open| open.serial) else {
            return;
        };
        let mut frames: Vec<usize> = self.table.listed().iter().map(|n| *n as usize).collect();
        // In the order of the file, which is how files are read fastest.
        frames.sort_unstable();
        if frames.is_empty() {
            return self.notice("No frame is listed to make a powder of; change the filter.");
        }
        self.underlay.powder_serial += 1;
        self.underlay.powder_progress = Some((0, frames.len()));
        self.underlay.powder_of = (combine, frames.len());
        self.jobs.push(Job::Powder(PowderOrder {
            serial: self.underlay.powder_serial,
            run,
            combine,
            frames,
        }));
    }

    pub(super) fn stop_powder(&mut self) {
        self.underlay.powder_serial += 1;
        self.underlay.powder_progress = None;
        self.jobs.push(Job::StopPowder);
    }

    pub(super) fn powder_progressed(&mut self, serial: u64, done: usize, total: usize) {
        if serial == self.underlay.powder_serial {
            self.underlay.powder_progress = Some((done, total));
        }
    }

    pub(super) fn powder_made(
        &mut self,
        serial: u64,
        frames: usize,
        result: Result<Picture, String>,
    ) {
        if serial != self.underlay.powder_serial {
            return;
        }
        let left_out = self.underlay.powder_of.1.saturating_sub(frames);
        self.underlay.powder_progress = None;
        self.underlay.powder_of.1 = frames;
        match result {
            Ok(picture) => {
                self.underlay.powder = Some(picture);
                if left_out > 0 {
                    self.notice(format!(
                        "{left_out} frames could not be read and are not in the powder."
                    ));
                }
                self.set_beneath(Beneath::Powder);
            }
            Err(reason) => self.notice(reason),
        }
    }

    /// Before a press on the canvas: what moves stops, and a picture that is not of this frame is not painted on.
    pub(super) fn stops_at_press(&mut self) -> bool {
        self.playback.is_on = false;
        self.underlay.is_blinking = false;
        match self.underlay.wanted {
            Beneath::Own | Beneath::Stack(_) => false,
            Beneath::Neighbour(_) => {
                self.set_beneath(Beneath::Own);
                true
            }
            Beneath::Powder => {
                let is_drawn = self.drawn_picture().is_some();
                if is_drawn {
                    self.notice("This is the powder of the run, not the frame; show the frame to paint on it.");
                }
                is_drawn
            }
        }
    }

    pub(super) fn want_thumbnails(&mut self, numbers: Vec<usize>) {
        let missing = numbers
            .iter()
            .filter(|number| self.thumbnails.get(**number).is_none());
        let keys = missing.filter_map(|number| self.key(*number)).collect();
        self.thumbnails.wanted = numbers;
        self.jobs.push(Job::Thumbnails(keys));
    }

    pub(super) fn thumbnail_made(&mut self, key: FrameKey, picture: Arc<Grid<u8>>) {
        if self.key(key.number) != Some(key) {
            return;
        }
        let thumbnails = &mut self.thumbnails;
        if thumbnails.kept.insert(key.number, picture).is_none() {
            thumbnails.order.push_back(key.number);
        }
        while thumbnails.order.len() > THUMBNAILS {
            if let Some(oldest) = thumbnails.order.pop_front() {
                thumbnails.kept.remove(&oldest);
            }
        }
    }
}
