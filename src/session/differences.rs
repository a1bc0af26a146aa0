//! Where two opinions of the shown frame differ: counted after every edit, stepped through with a key.

use std::sync::Arc;

use super::Session;
use super::command::View;
use super::job::{CompareRequest, FrameKey, Job, Predicted, Side};
use super::second::Against;
use crate::domain::difference::{Comparison, Mark};

/// A difference is looked at no smaller than this, screen points per pixel.
const LEAST_ZOOM: f32 = 4.0;
/// The same where the whole frame was in view.
const USUAL_ZOOM: f32 = 10.0;

/// The difference view.
#[derive(Clone, Debug, Default)]
pub struct Differences {
    pub is_on: bool,
    /// The label is judged in the net's place.
    pub judges_label: bool,
    /// What was found out last, and of which frame.
    found: Option<(FrameKey, Arc<Comparison>)>,
    /// The difference that was stepped to, by its place.
    place: Option<(f32, f32)>,
    /// The frame was entered by stepping on (1) or back (-1) beyond the last difference.
    entering: Option<isize>,
    asked: Option<Question>,
    serial: u64,
    is_waiting: bool,
}

/// What a comparison was made of: another one is asked for when any of it changes.
#[derive(Clone, Debug)]
struct Question {
    key: FrameKey,
    /// Of the sheet, where the label takes part.
    sheet_version: Option<u64>,
    net: Option<Arc<Predicted>>,
    second: Option<Arc<Predicted>>,
    against: Against,
    judges_label: bool,
}

impl Question {
    fn is_same(&self, other: &Self) -> bool {
        let same = |a: &Option<Arc<Predicted>>, b: &Option<Arc<Predicted>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        self.key == other.key
            && self.sheet_version == other.sheet_version
            && self.against == other.against
            && self.judges_label == other.judges_label
            && same(&self.net, &other.net)
            && same(&self.second, &other.second)
    }
}

impl Session {
    /// The comparison of the frame on screen.
    pub fn comparison(&self) -> Option<&Arc<Comparison>> {
        let shown = self.shown.as_ref()?.key;
        let (key, comparison) = self.differences.found.as_ref()?;
        (self.differences.is_on && *key == shown).then_some(comparison)
    }

    /// The difference that was stepped to.
    pub fn difference(&self) -> Option<&Mark> {
        let place = self.differences.place?;
        let comparison = self.comparison()?;
        let mut differing = comparison.differences();
        let index = differing.find(|index| {
            let mark = comparison.marks.get(*index);
            mark.is_some_and(|mark| (mark.y, mark.x) == place)
        })?;
        comparison.marks.get(index)
    }

    pub(super) const fn is_comparing(&self) -> bool {
        self.differences.is_on && self.differences.is_waiting
    }

    pub(super) fn show_differences(&mut self, on: bool) {
        self.differences = Differences {
            is_on: on,
            judges_label: self.differences.judges_label,
            serial: self.differences.serial + 1,
            ..Differences::default()
        };
        self.ask_second();
    }

    pub(super) const fn judge_label(&mut self, on: bool) {
        self.differences.judges_label = on;
    }

    /// Asks for a comparison when what it is made of has changed; called after every command and report.
    pub(super) fn ask_comparison(&mut self) {
        // Half a stroke is no opinion.
        if !self.differences.is_on || self.gesture.is_some() {
            return;
        }
        let Some((question, request)) = self.question() else {
            self.differences.asked = None;
            self.differences.found = None;
            self.differences.is_waiting = false;
            return;
        };
        let asked = self.differences.asked.as_ref();
        if asked.is_some_and(|asked| asked.is_same(&question)) {
            return;
        }
        self.differences.asked = Some(question);
        self.differences.serial += 1;
        self.differences.is_waiting = true;
        let serial = self.differences.serial;
        self.jobs.push(Job::Compare { serial, request });
    }

    /// What would be compared now; `None` while a side is missing.
    fn question(&self) -> Option<(Question, Box<CompareRequest>)> {
        let shown = self.shown.as_ref()?;
        let against = &self.second.against;
        let judges_label = self.differences.judges_label;
        let net = self.shown_prediction();
        let second = self.second.predictions.get(&shown.key.number);
        let label = || Side::Label(shown.sheet.clone());
        let judged = if judges_label {
            label()
        } else {
            Side::Predicted(net?.clone())
        };
        let reference = match against {
            Against::Label if judges_label => return None,
            Against::Label => label(),
            Against::Listed => Side::Listed(shown.loaded.listed.clone()?),
            Against::Net(_) | Against::Finder(_) => Side::Predicted(second?.clone()),
        };
        let is_labelled = judges_label || *against == Against::Label;
        let question = Question {
            key: shown.key,
            sheet_version: is_labelled.then_some(self.sheet_version),
            net: net.filter(|_| !judges_label).cloned(),
            second: second.filter(|_| against.predicts()).cloned(),
            against: against.clone(),
            judges_label,
        };
        let request = Box::new(CompareRequest {
            key: shown.key,
            frame: shown.loaded.frame.clone(),
            reference,
            judged,
        });
        Some((question, request))
    }

    pub(super) fn differences_found(
        &mut self,
        key: FrameKey,
        serial: u64,
        comparison: Arc<Comparison>,
    ) {
        if serial != self.differences.serial {
            return;
        }
        self.differences.is_waiting = false;
        if self.shown.as_ref().is_none_or(|shown| shown.key != key) {
            return;
        }
        if self
            .differences
            .found
            .as_ref()
            .is_none_or(|(of, _)| *of != key)
        {
            self.differences.place = None;
        }
        self.differences.found = Some((key, comparison));
        if let Some(by) = self.differences.entering.take() {
            self.reach_difference(by);
        }
    }

    /// Goes to the next difference in reading order, or back; beyond the last one to the next frame.
    pub(super) fn step_difference(&mut self, by: isize) {
        if !self.differences.is_on {
            self.show_differences(true);
            self.differences.entering = Some(by);
            return;
        }
        if self.is_comparing() || self.pending.is_waiting() || self.reach_difference(by) {
            return;
        }
        let next = self.selected.checked_add_signed(by.signum());
        match next.filter(|number| *number < self.rows.len()) {
            Some(number) => {
                self.differences.entering = Some(by);
                self.go_to(number);
            }
            None if by > 0 => self.notice("There are no more differences: this is the last frame."),
            None => self.notice("There are no more differences: this is the first frame."),
        }
    }

    /// Centres the next difference of the shown frame; false when there is none.
    fn reach_difference(&mut self, by: isize) -> bool {
        let Some(comparison) = self.comparison().cloned() else {
            return false;
        };
        let place = self.differences.place;
        let marks = comparison
            .differences()
            .filter_map(|i| comparison.marks.get(i));
        let after =
            |a: (f32, f32), b: (f32, f32)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).is_gt();
        let is_ahead = |mark: &&Mark| {
            let at = (mark.y, mark.x);
            place.is_none_or(|place| {
                if by > 0 {
                    after(at, place)
                } else {
                    after(place, at)
                }
            })
        };
        let mut ahead = marks.filter(is_ahead);
        let next = if by > 0 {
            ahead.next()
        } else {
            ahead.next_back()
        };
        let Some(mark) = next else { return false };
        self.differences.place = Some((mark.y, mark.x));
        let zoom = match self.view {
            Some(view) if view.zoom > 0.0 => view.zoom.max(LEAST_ZOOM),
            _ => USUAL_ZOOM,
        };
        self.look_at(mark.x, mark.y, zoom);
        true
    }

    /// Puts a raw position into the middle of the canvas.
    pub(super) fn look_at(&mut self, x: f32, y: f32, zoom: f32) {
        let in_plane = self.plane().and_then(|plane| {
            let [x, y] = plane.plane_from_raw(f64::from(x), f64::from(y))?;
            Some((x as f32, y as f32))
        });
        let (center_x, center_y) = in_plane.unwrap_or((x, y));
        self.view = Some(View {
            center_x,
            center_y,
            zoom,
            is_assembled: self.is_assembled,
        });
        self.view_version += 1;
    }
}
