//! What is under the pointer, what a click there would paint, and what the labels of the frame amount to.
//!
//! What belongs to the pointer is measured at once, for it looks at a few hundred pixels; the whole sheet is counted by a
//! worker. Both follow every change of the sheet.

use std::ops::Range;

use super::Session;
use super::job::{FrameKey, Job, SheetCount};
use super::tool::{Gesture, SectorGesture, Tool, ToolOptions, pixel_at};
use crate::domain::components::component_around;
use crate::domain::grid::Pixel;
use crate::domain::labels::Class;
use crate::domain::peaks::{Peak, measure_component};

/// Components with more pixels are not measured while the pointer moves.
const MOST_MEASURED: usize = 4000;
/// A frame with so many peaks is a hit, as in `peaknet predict --min-peaks`.
pub const HIT_PEAKS: usize = 15;

/// The labelled component under the pointer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnderPointer {
    pub class: Class,
    /// Its centroid, SNR and size; `None` where it is too large to be measured at once, or holds no valid pixel.
    pub measured: Option<Peak>,
}

/// What a click would paint: stretches of rows of the slab.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    pub spans: Vec<(usize, Range<usize>)>,
    /// In words, for the status bar.
    pub said: String,
}

/// What was looked at last, and what was seen.
#[derive(Clone, Debug, Default)]
pub struct Look {
    pub under: Option<UnderPointer>,
    /// Which edit of the shown frame gave the pixel under the pointer its class last, as an index of its history.
    pub changed: Option<usize>,
    pub preview: Option<Preview>,
    /// Of the sheet of the shown frame, as soon as it is counted.
    pub count: Option<SheetCount>,
    seen: Option<Seen>,
    counted: Option<(FrameKey, u64)>,
}

/// All that decides what is seen: nothing is measured twice.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    key: FrameKey,
    version: u64,
    tool: Tool,
    options: ToolOptions,
    pixel: Option<Pixel>,
    /// Of the ring tool, which sees finer than pixels.
    place: Option<(f32, f32)>,
    sector: Option<SectorGesture>,
}

impl Session {
    /// Looks again at what is under the pointer where something has changed.
    pub(super) fn look_again(&mut self) {
        if matches!(self.gesture, Some(Gesture::Stroke { .. })) {
            return;
        }
        let Some(shown) = &self.shown else {
            self.look = Look::default();
            return;
        };
        let (width, height) = (shown.sheet.width(), shown.sheet.height());
        let (key, version) = (shown.key, self.sheet_version);
        if self.look.counted != Some((key, version)) {
            if self.look.counted.is_none_or(|(last, _)| last != key) {
                self.look.count = None;
            }
            self.look.counted = Some((key, version));
            self.jobs.push(Job::Count {
                key,
                version,
                sheet: shown.sheet.clone(),
            });
        }
        let raw = self.hover.and_then(|(x, y)| self.raw_position(x, y));
        let pixel = match self.gesture {
            Some(Gesture::Grow { at, .. }) => Some(at),
            _ => raw.and_then(|(x, y)| pixel_at(x, y, width, height)),
        };
        let sector = match &self.gesture {
            Some(Gesture::Sector(sector)) => Some(*sector),
            _ => None,
        };
        let seen = Seen {
            key,
            version,
            tool: self.tool,
            options: self.options,
            pixel,
            place: self.hover.filter(|_| self.tool == Tool::Ring),
            sector,
        };
        if self.look.seen.as_ref() != Some(&seen) {
            self.look.under = pixel.and_then(|at| self.under(at));
            let history = self.shown.as_ref().map(|shown| &shown.history);
            self.look.changed = pixel.zip(history).and_then(|(at, h)| h.last_change(at));
            self.look.preview = pixel.and_then(|at| self.preview(at));
            self.look.seen = Some(seen);
        }
    }

    fn under(&self, at: Pixel) -> Option<UnderPointer> {
        let shown = self.shown.as_ref()?;
        let class = Class::from_code(*shown.sheet.get(at.x, at.y)?)?;
        if class == Class::Background {
            return None;
        }
        let component = component_around(&shown.sheet, at, MOST_MEASURED);
        let measured = component
            .and_then(|component| measure_component(&shown.loaded.frame, &shown.sheet, &component));
        Some(UnderPointer { class, measured })
    }

    fn preview(&self, at: Pixel) -> Option<Preview> {
        self.paintable().ok()?;
        match self.tool {
            Tool::PeakGrow => {
                let level = self.options.grow_sigmas;
                let Some(grown) = self.grown_at(at) else {
                    return Some(Preview {
                        spans: Vec::new(),
                        said: format!("no peak here, level {level:.1} sigma"),
                    });
                };
                let inner = grown
                    .cells
                    .iter()
                    .filter(|(_, class)| *class == grown.ruling.class);
                Some(Preview {
                    spans: inner.map(|(p, _)| (p.y, p.x..p.x + 1)).collect(),
                    said: format!(
                        "would be {}, {} px, SNR {:.1}, level {level:.1} sigma",
                        grown.ruling.class.name(),
                        grown.ruling.pixels,
                        grown.ruling.snr
                    ),
                })
            }
            Tool::Ring => {
                let (x, y) = self.hover?;
                self.ring_preview(x, y)
            }
            Tool::Component => {
                let shown = self.shown.as_ref()?;
                self.look.under?;
                let component = component_around(&shown.sheet, at, MOST_MEASURED)?;
                let spans = component
                    .spans
                    .iter()
                    .map(|span| (span.y, span.x0..span.x1));
                Some(Preview {
                    spans: spans.collect(),
                    said: format!("click: {}", self.options.operation.name()),
                })
            }
            _ => None,
        }
    }

    pub(super) fn counted(&mut self, key: FrameKey, version: u64, count: SheetCount) {
        // A count of an earlier state of the same sheet is better than none; the newest one is under way.
        let is_shown = self.shown.as_ref().is_some_and(|shown| shown.key == key);
        if is_shown && version <= self.sheet_version {
            self.look.count = Some(count);
        }
    }

    /// What the mouse does now, and what it would do here.
    pub fn hint(&self) -> String {
        match &self.look.preview {
            Some(preview) => format!("{} · {}", preview.said, self.tool.hint()),
            None => self.tool.hint().to_owned(),
        }
    }
}
