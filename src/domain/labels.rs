//! Classes, the sheet of classes of one frame, and edits that can be undone.

use std::sync::Arc;

use super::grid::{Grid, Pixel, PixelRect};
use super::packed::{Packed, differing, in_rows};

/// What a pixel is, with the codes of every file that leaves the program (labels rule: README).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    Background = 0,
    Peak = 1,
    Artifact = 2,
    /// Nobody can be sure: weighs nothing in training and scores.
    Ignore = 255,
}

impl Class {
    pub const ALL: [Self; 4] = [Self::Background, Self::Peak, Self::Artifact, Self::Ignore];

    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The class of a code on disk; `None` for a code that means nothing.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Background),
            1 => Some(Self::Peak),
            2 => Some(Self::Artifact),
            255 => Some(Self::Ignore),
            _ => None,
        }
    }

    /// Whether a code means anything: [`Self::from_code`] for millions of cells, without branches.
    pub const fn is_code(code: u8) -> bool {
        // 255, 0, 1, 2 follow each other.
        code.wrapping_add(1) <= 3
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::Peak => "peak",
            Self::Artifact => "artifact",
            Self::Ignore => "ignore",
        }
    }
}

/// The classes of one frame, as codes of [`Class`].
pub type Sheet = Grid<u8>;

/// One undoable change of one sheet: a rectangle, what stood in it, what stands in it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub rect: PixelRect,
    pub before: Packed,
    pub after: Packed,
    /// What made it, in the words of the history list: `brush peak`, `accept net-name`.
    pub tool: String,
}

impl Edit {
    /// The smallest edit that turns `before` into `after` within `touched`; `None` when nothing differs.
    pub fn between(before: &Sheet, after: &Sheet, touched: PixelRect, tool: &str) -> Option<Self> {
        let touched = touched.intersect(&before.rect()).intersect(&after.rect());
        let mut rect = PixelRect::new(0, 0, 0, 0);
        // Packed on the way, while a row is at hand: mostly what was touched is what has changed.
        let mut packed = [Packed::default(), Packed::default()];
        for y in touched.y0..touched.y1 {
            let row = |sheet| Sheet::row(sheet, y).get(touched.x0..touched.x1);
            let (Some(old), Some(new)) = (row(before), row(after)) else {
                continue;
            };
            if let Some((first, last)) = differing(old, new) {
                let (x0, x1) = (touched.x0 + first, touched.x0 + last + 1);
                rect = rect.union(&PixelRect::new(x0, y, x1, y + 1));
            }
            for (packed, row) in packed.iter_mut().zip([old, new]) {
                packed.extend(row);
            }
        }
        if rect.is_empty() {
            return None;
        }
        if rect != touched {
            packed = [before, after].map(|sheet| Packed::of(sheet, rect));
        }
        let [before, after] = packed;
        Some(Self {
            rect,
            before,
            after,
            tool: tool.to_owned(),
        })
    }

    pub fn apply(&self, sheet: &mut Sheet) {
        self.after.paste(sheet, self.rect);
    }

    pub fn revert(&self, sheet: &mut Sheet) {
        self.before.paste(sheet, self.rect);
    }

    /// Whether a person chose its classes: no prediction taken over or stamped, no emptied sheet.
    pub fn is_by_a_person(&self) -> bool {
        let tool = &self.tool;
        !(tool.starts_with("accept") || tool.starts_with("stamp") || tool == "clear")
    }

    /// Whether it is a decision about one component.
    pub fn is_decision(&self) -> bool {
        self.tool.starts_with(DECISION)
    }

    /// Whether it put the other curator's labels down when two projects were merged.
    pub fn is_merge(&self) -> bool {
        self.tool.starts_with(MERGED)
    }

    /// Whether it gave this pixel another class.
    pub fn changes(&self, at: Pixel) -> bool {
        if !self.rect.contains(at) {
            return false;
        }
        let index = (at.y - self.rect.y0) * self.rect.width() + at.x - self.rect.x0;
        self.before.get(index) != self.after.get(index)
    }

    pub const fn bytes(&self) -> usize {
        self.before.bytes() + self.after.bytes()
    }
}

/// Marks the cells that one of `edits` (oldest first) changed, by whether the last one that did `is_meant`.
pub fn mark_changed<'a>(
    cells: &mut Grid<bool>,
    edits: impl Iterator<Item = &'a Edit>,
    is_meant: impl Fn(&Edit) -> bool,
) {
    for edit in edits {
        let is_meant = is_meant(edit);
        edit.before.differences(&edit.after, |stretch| {
            in_rows(edit.rect, stretch, |y, span| {
                if let Some(cells) = cells.row_mut(y).get_mut(span) {
                    cells.fill(is_meant);
                }
            });
        });
    }
}

/// Who made an edit that is on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The curator's name.
    pub who: String,
    /// Seconds since 1970, UTC.
    pub time: f64,
    /// The digest of the net whose prediction was taken over.
    pub net: Option<String>,
}

/// The edits of one frame in order; those from `done` on have been undone and can be redone.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub edits: Vec<Arc<Edit>>,
    /// How many of `edits` are applied to the sheet.
    pub done: usize,
    /// Of the first edits, as they came from disk; later ones are of this session.
    pub origins: Vec<Origin>,
    /// How many edits before the first one are on disk but not in memory.
    pub older: usize,
    /// How many edits were applied when a person confirmed the labels, as long as undo and redo can lead there.
    pub confirmed: Option<usize>,
}

/// Every edit of a decision begins with this word in the history.
const DECISION: &str = "triage:";
/// How the edit is called that puts the other curator's labels down when two projects are merged.
pub const MERGED: &str = "merge: labels of";

impl History {
    /// The applied edits from the first merge with another project on; `None` where none was merged.
    pub fn since_merge(&self) -> Option<&[Arc<Edit>]> {
        let done = self.edits.get(..self.done)?;
        let first = done.iter().position(|edit| edit.is_merge())?;
        done.get(first..)
    }

    /// Records an edit that is already applied; what could be redone is gone from here on.
    pub fn push(&mut self, edit: Arc<Edit>) {
        self.confirmed = self.confirmed.filter(|count| *count <= self.done);
        self.edits.truncate(self.done);
        self.origins.truncate(self.done);
        self.edits.push(edit);
        self.done = self.edits.len();
    }

    /// The edit that `undo` reverts.
    pub fn last_done(&self) -> Option<&Arc<Edit>> {
        self.done.checked_sub(1).and_then(|i| self.edits.get(i))
    }

    /// The edit that `redo` applies.
    pub fn next_undone(&self) -> Option<&Arc<Edit>> {
        self.edits.get(self.done)
    }

    /// Which applied edit gave the pixel its class last, as an index of `edits`; `None` where none did.
    pub fn last_change(&self, at: Pixel) -> Option<usize> {
        let applied = self.edits.iter().enumerate().take(self.done);
        let mut found = applied
            .filter(|(_, edit)| edit.changes(at))
            .map(|(index, _)| index);
        found.next_back()
    }

    /// What the sheet was, or would be, with the first `count` edits applied; `sheet` is as it is now.
    pub fn state(&self, sheet: &Sheet, count: usize) -> Sheet {
        let mut sheet = sheet.clone();
        let count = count.min(self.edits.len());
        if count < self.done {
            let undone = self.edits.get(count..self.done).unwrap_or_default();
            undone.iter().rev().for_each(|edit| edit.revert(&mut sheet));
        } else {
            let redone = self.edits.get(self.done..count).unwrap_or_default();
            redone.iter().for_each(|edit| edit.apply(&mut sheet));
        }
        sheet
    }

    /// Reverts the last applied edit on the sheet and returns it.
    pub fn undo(&mut self, sheet: &mut Sheet) -> Option<Arc<Edit>> {
        let edit = self.last_done()?.clone();
        edit.revert(sheet);
        self.done -= 1;
        Some(edit)
    }

    /// Applies the next undone edit to the sheet and returns it.
    pub fn redo(&mut self, sheet: &mut Sheet) -> Option<Arc<Edit>> {
        let edit = self.next_undone()?.clone();
        edit.apply(sheet);
        self.done += 1;
        Some(edit)
    }
}

/// How far a frame's labels have been looked at by a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Review {
    #[default]
    Untouched,
    /// Painted or accepted, but not confirmed.
    Started,
    /// A person vouches for every pixel: goes into a set.
    Confirmed,
    /// Put aside with a question.
    Flagged,
}

impl Review {
    /// What it is after a change of the labels: nobody vouches for the frame as it is now; what was flagged still is.
    pub const fn after_change(self) -> Self {
        match self {
            Self::Flagged => Self::Flagged,
            _ => Self::Started,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Untouched => "untouched",
            Self::Started => "started",
            Self::Confirmed => "confirmed",
            Self::Flagged => "flagged",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Untouched,
            Self::Started,
            Self::Confirmed,
            Self::Flagged,
        ]
        .into_iter()
        .find(|review| review.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_that_means_something_is_known() {
        for code in 0..=255 {
            assert_eq!(Class::is_code(code), Class::from_code(code).is_some());
        }
    }
}
