//! Labels that come from elsewhere: the prediction, taken over whole or in part, and the frame before.

use crate::domain::brush::{self, NOTHING};
use crate::domain::components;
use crate::domain::frame::bad::NOT_VALID;
use crate::domain::grid::{Grid, Pixel, PixelRect};
use crate::domain::labels::{Class, Edit, Sheet, mark_changed};
use crate::session::Session;
use crate::session::browse::Shown;
use crate::session::command::Accept;
use crate::session::job::{FrameKey, Job, LoadedLabels};
use crate::session::triage::mark_decided;

impl Session {
    /// Takes the prediction over, except where a person has painted.
    pub(in crate::session) fn accept(&mut self, what: Accept) {
        let Some(predicted) = self.shown_prediction().cloned() else {
            return self.refuse(
                "There is no prediction of this frame yet; switch prediction on and wait for it.",
            );
        };
        let Some(net) = self.net.clone() else { return };
        let by_hand = self.shown.as_ref().and_then(|shown| {
            let mut edits = shown.history.edits.iter().take(shown.history.done);
            // Nothing of a frame that nobody has touched is anybody's.
            edits.any(|edit| edit.is_by_a_person()).then(|| {
                let mut mine = painted_by_hand(shown);
                mark_decided(shown, &predicted.classes, &mut mine);
                mine
            })
        });
        let name = match what {
            Accept::All => format!("accept {}", net.entry.name),
            Accept::OneClass(class) => format!("accept {} of {}", class.name(), net.entry.name),
            Accept::Component(_) => format!("accept one of {}", net.entry.name),
        };
        let classes = &predicted.classes;
        let component = match what {
            Accept::Component(at) => component_at(classes, at),
            _ => None,
        };
        self.change(&name, Some(net.digest), |sheet, bad| {
            if let Some(component) = component {
                return component.iter().fold(NOTHING, |touched, &(x, y)| {
                    copy_cell(sheet, classes, bad, x, y);
                    touched.union(&PixelRect::of(Pixel { x, y }))
                });
            }
            let mut touched = NOTHING;
            let mut row = Vec::new();
            for y in 0..sheet.height() {
                let mine = by_hand.as_ref().map_or(&[][..], |painted| painted.row(y));
                let has_mine = mine.iter().fold(false, |any, mine| any | mine);
                if let (Accept::All, false) = (what, has_mine) {
                    brush::replace_row(sheet, bad, y, classes.row(y), &mut touched);
                    continue;
                }
                // What shall not be taken over is given the code that it has.
                row.clear();
                row.extend_from_slice(classes.row(y));
                if let Accept::OneClass(meant) = what {
                    let meant = meant.code();
                    for (cell, kept) in row.iter_mut().zip(sheet.row(y)) {
                        *cell = if *cell == meant { meant } else { *kept };
                    }
                }
                for ((cell, kept), mine) in row.iter_mut().zip(sheet.row(y)).zip(mine) {
                    *cell = if *mine { *kept } else { *cell };
                }
                brush::replace_row(sheet, bad, y, &row, &mut touched);
            }
            touched
        });
        match what {
            Accept::All => self.triage_accepted(None),
            Accept::OneClass(class) => self.triage_accepted(Some(class)),
            Accept::Component(_) => {}
        }
    }

    /// Asks for the labels of the frame before, to be put where this one has none; all of them, or one class.
    pub(in crate::session) fn copy_previous(&mut self, class: Option<Class>) {
        let target = match self.paintable() {
            Ok(shown) => shown.key,
            Err(reason) => return self.refuse(reason),
        };
        let (width, height) = match &self.shown {
            Some(shown) => (shown.sheet.width(), shown.sheet.height()),
            None => return,
        };
        let Some(source) = target.number.checked_sub(1).and_then(|n| self.key(n)) else {
            return self.refuse("This is the first frame; there is none before it to copy from.");
        };
        self.copying = Some((source, target, class));
        self.jobs.push(Job::LoadLabels {
            key: source,
            width,
            height,
        });
    }

    /// Takes labels that were asked for to be copied; nothing happens when another frame is shown by now.
    pub(in crate::session) fn copy_arrived(
        &mut self,
        key: FrameKey,
        result: &Result<LoadedLabels, String>,
    ) {
        let Some((_, target, class)) = self.copying.take_if(|(source, ..)| *source == key) else {
            return;
        };
        if self.shown.as_ref().is_none_or(|shown| shown.key != target) {
            return;
        }
        let labels = match result {
            Ok(labels) => labels.sheet.clone(),
            Err(reason) => return self.refuse(reason.clone()),
        };
        let is_meant = |code: u8| {
            code != Class::Background.code() && class.is_none_or(|class| class.code() == code)
        };
        let number = key.number + 1;
        if !labels.cells().iter().any(|code| is_meant(*code)) {
            return self.refuse(format!("Frame {number} has no such labels to copy."));
        }
        let over = brush::Over::Only(Class::Background);
        self.change(
            &format!("copied from frame {number}"),
            None,
            |sheet, bad| {
                let mut touched = NOTHING;
                for y in 0..sheet.height() {
                    let row = labels.row(y).iter().enumerate();
                    for (x, code) in row.filter(|(_, code)| is_meant(**code)) {
                        if let Some(class) = Class::from_code(*code) {
                            let ink = brush::Ink { class, over };
                            brush::paint_span(sheet, bad, y, x..x + 1, ink, &mut touched);
                        }
                    }
                }
                touched
            },
        );
    }
}

fn copy_cell(sheet: &mut Sheet, classes: &Sheet, bad: &Grid<u16>, x: usize, y: usize) {
    let valid = bad.get(x, y).is_some_and(|bits| bits & NOT_VALID == 0);
    if valid && let (Some(cell), Some(&class)) = (sheet.get_mut(x, y), classes.get(x, y)) {
        *cell = class;
    }
}

fn component_at(classes: &Sheet, at: Pixel) -> Option<Vec<(usize, usize)>> {
    let class = *classes.get(at.x, at.y)?;
    if class == Class::Background.code() {
        return None;
    }
    components::component_at(classes, at)
}

/// The cells that a person, or an import, gave their class last.
fn painted_by_hand(shown: &Shown) -> Grid<bool> {
    let mut painted = Grid::filled(shown.sheet.width(), shown.sheet.height(), false);
    let applied = shown.history.edits.iter().take(shown.history.done);
    let applied = applied.map(AsRef::as_ref);
    mark_changed(&mut painted, applied, Edit::is_by_a_person);
    painted
}
