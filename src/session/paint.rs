//! Painting labels: one gesture, one edit, one undo step, one transaction on disk.

use std::borrow::Cow;
use std::sync::Arc;

use super::browse::Shown;
use super::command::Accept;
use super::job::Job;
use super::tool::{Gesture, Tool, ToolEvent, pixel_at};
use super::{Session, SheetChange};
use crate::domain::assembly::{Assembly, Placed};
use crate::domain::brush::{self, Paint};
use crate::domain::components;
use crate::domain::grid::{Grid, Pixel, PixelRect};
use crate::domain::grow;
use crate::domain::labels::{Class, Edit, Review, Sheet};

/// A fill of more background than this, and than a quarter of the frame, is taken for a slip.
const MOST_FILLED: usize = 4096;
/// How many sheet changes are kept for textures that lag behind.
const CHANGES_KEPT: usize = 64;

impl Session {
    /// The shown frame, if it may be painted on now: it is the selected one, with its labels.
    fn paintable(&self) -> Result<&Shown, String> {
        let Some(shown) = &self.shown else {
            return Err("No frame is open to paint on.".to_owned());
        };
        if let Some(reason) = &shown.read_only {
            return Err(reason.clone());
        }
        if self.importing.is_some() {
            return Err("Labels are being imported; paint when they are in.".to_owned());
        }
        if shown.key.number != self.selected || self.pending.is_waiting() {
            return Err(
                "The selected frame is still being read; paint when it is shown.".to_owned(),
            );
        }
        Ok(shown)
    }

    /// Whether a press on the canvas would paint.
    pub fn can_paint(&self) -> bool {
        self.paintable().is_ok()
    }

    pub(super) fn set_tool(&mut self, tool: Tool) {
        if tool != self.tool {
            self.cancel_gesture();
            self.tool = tool;
        }
    }

    pub(super) fn swap_class(&mut self) {
        std::mem::swap(&mut self.class.current, &mut self.class.other);
    }

    pub(super) fn use_tool(&mut self, event: ToolEvent) {
        match event {
            ToolEvent::Press { x, y, erase } => {
                if !self.stops_at_press() {
                    self.press(x, y, erase);
                }
            }
            ToolEvent::Drag { x, y } => self.drag(x, y),
            ToolEvent::Release => {
                if matches!(self.gesture, Some(Gesture::Stroke { .. })) {
                    self.finish_gesture();
                }
            }
            ToolEvent::Finish => self.finish_gesture(),
            ToolEvent::Cancel => self.cancel_gesture(),
        }
    }

    fn press(&mut self, x: f32, y: f32, erase: bool) {
        let shown = match self.paintable() {
            Ok(shown) => shown,
            Err(reason) => return self.notice(reason),
        };
        let (width, height) = (shown.sheet.width(), shown.sheet.height());
        let class = if erase || self.tool == Tool::Eraser {
            Class::Background
        } else {
            self.class.current
        };
        match self.tool {
            Tool::Brush | Tool::Eraser => {
                let name = if class == Class::Background {
                    "eraser".to_owned()
                } else {
                    format!("brush {}", class.name())
                };
                self.gesture = Some(Gesture::Stroke {
                    before: shown.sheet.clone(),
                    touched: PixelRect::new(0, 0, 0, 0),
                    last: (x, y),
                    class,
                    name,
                });
                self.drag(x, y);
            }
            Tool::Polygon => {
                if let Some(Gesture::Polygon { corners, .. }) = &mut self.gesture {
                    corners.push((x, y));
                } else {
                    self.gesture = Some(Gesture::Polygon {
                        corners: vec![(x, y)],
                        class,
                    });
                }
            }
            Tool::Fill | Tool::Pick | Tool::PeakGrow => {
                let raw = self.raw_position(x, y);
                let Some(at) = raw.and_then(|(x, y)| pixel_at(x, y, width, height)) else {
                    return;
                };
                match self.tool {
                    Tool::Fill => self.fill(at, class),
                    Tool::Pick => self.pick(at),
                    _ => self.grow_peak(at),
                }
            }
        }
    }

    /// The raw position of where the pointer is; `None` in a gap of the assembled plane.
    fn raw_position(&self, x: f32, y: f32) -> Option<(f32, f32)> {
        let Some(plane) = self.plane() else {
            return Some((x, y));
        };
        let [x, y] = plane.raw_from_plane(f64::from(x), f64::from(y))?;
        Some((x as f32, y as f32))
    }

    fn drag(&mut self, x: f32, y: f32) {
        let (diameter, protect) = (self.brush_diameter, self.protect);
        let plane = self.plane().cloned();
        let Some(Gesture::Stroke {
            touched,
            last,
            class,
            ..
        }) = &mut self.gesture
        else {
            return;
        };
        let Some(shown) = &mut self.shown else { return };
        let paint = Paint {
            class: *class,
            only_background: protect && *class != Class::Background,
        };
        let sheet = Arc::make_mut(&mut shown.sheet);
        let bad = &shown.loaded.frame.bad;
        let mut changed = Vec::new();
        for panel in panels_of(plane.as_deref(), sheet.rect()).iter() {
            let [from, to] = [*last, (x, y)].map(|at| raw_on(panel, at));
            let rect = brush::stroke_within(sheet, bad, panel.rect, from, to, diameter, paint);
            *touched = touched.union(&rect);
            changed.push(rect);
        }
        *last = (x, y);
        for rect in changed {
            self.sheet_changed(rect);
        }
    }

    /// Ends the gesture under way and records what it changed.
    pub(super) fn finish_gesture(&mut self) {
        match self.gesture.take() {
            Some(Gesture::Stroke {
                before,
                touched,
                name,
                ..
            }) => self.record(&before, touched, &name, None),
            Some(Gesture::Polygon { corners, class }) if corners.len() > 2 => {
                let paint = Paint {
                    class,
                    only_background: self.protect && class != Class::Background,
                };
                let name = format!("polygon {}", class.name());
                let plane = self.plane().cloned();
                self.change(&name, None, |sheet, bad| {
                    let panels = panels_of(plane.as_deref(), sheet.rect());
                    panels
                        .iter()
                        .fold(PixelRect::new(0, 0, 0, 0), |all, panel| {
                            let corners: Vec<_> =
                                corners.iter().map(|at| raw_on(panel, *at)).collect();
                            all.union(&brush::polygon_within(
                                sheet, bad, panel.rect, &corners, paint,
                            ))
                        })
                });
            }
            _ => {}
        }
    }

    /// Drops the gesture under way, as if it had not begun.
    pub(super) fn cancel_gesture(&mut self) {
        if let Some(Gesture::Stroke {
            before, touched, ..
        }) = self.gesture.take()
            && let Some(shown) = &mut self.shown
        {
            shown.sheet = before;
            self.sheet_changed(touched);
        }
    }

    /// Changes the shown sheet by a function that returns the rectangle it touched, as one edit.
    fn change(
        &mut self,
        name: &str,
        net: Option<String>,
        paint: impl FnOnce(&mut Sheet, &Grid<u16>) -> PixelRect,
    ) {
        if let Err(reason) = self.paintable() {
            return self.notice(reason);
        }
        let Some(shown) = &mut self.shown else { return };
        let before = shown.sheet.clone();
        let rect = paint(Arc::make_mut(&mut shown.sheet), &shown.loaded.frame.bad);
        self.sheet_changed(rect);
        self.record(&before, rect, name, net);
    }

    /// Records an edit that is already on the sheet; nothing changed, nothing recorded.
    fn record(&mut self, before: &Sheet, touched: PixelRect, name: &str, net: Option<String>) {
        let Some(shown) = &mut self.shown else { return };
        let Some(edit) = Edit::between(before, &shown.sheet, touched, name) else {
            return;
        };
        let edit = Arc::new(edit);
        shown.history.push(edit.clone());
        let key = shown.key;
        self.unsaved += 1;
        self.jobs.push(Job::StoreEdit { key, edit, net });
        self.mark_started(key.number);
    }

    /// A changed frame is no longer confirmed.
    fn mark_started(&mut self, number: usize) {
        if let Some(row) = self.rows.get_mut(number) {
            row.review = Review::Started;
            row.is_labelled = self.shown.as_ref().is_some_and(|s| s.history.done > 0);
        }
    }

    pub(super) fn undo(&mut self) {
        if self.gesture.is_some() {
            return self.cancel_gesture();
        }
        self.travel(true);
    }

    pub(super) fn redo(&mut self) {
        if self.gesture.is_none() {
            self.travel(false);
        }
    }

    fn travel(&mut self, back: bool) {
        if let Err(reason) = self.paintable() {
            return self.notice(reason);
        }
        let Some(shown) = &mut self.shown else { return };
        let sheet = Arc::make_mut(&mut shown.sheet);
        let edit = if back {
            shown.history.undo(sheet)
        } else {
            shown.history.redo(sheet)
        };
        let Some(edit) = edit else { return };
        let key = shown.key;
        self.sheet_changed(edit.rect);
        self.unsaved += 1;
        self.jobs.push(if back {
            Job::StoreUndo(key)
        } else {
            Job::StoreRedo(key)
        });
        self.mark_started(key.number);
    }

    fn fill(&mut self, at: Pixel, class: Class) {
        let name = format!("fill {}", class.name());
        let mut refused = None;
        self.change(&name, None, |sheet, bad| {
            let is_background = sheet.get(at.x, at.y) == Some(&Class::Background.code());
            let before = is_background.then(|| sheet.clone());
            let rect = brush::fill(sheet, bad, at, class);
            // An outline that is not closed lets the fill out over the whole frame.
            if let Some(before) = before {
                let pairs = before.cells().iter().zip(sheet.cells());
                let filled = pairs.filter(|(old, new)| old != new).count();
                if filled > MOST_FILLED.max(sheet.len() / 4) {
                    *sheet = before;
                    refused = Some(filled);
                    return PixelRect::new(0, 0, 0, 0);
                }
            }
            rect
        });
        if let Some(filled) = refused {
            self.notice(format!(
                "This would fill {filled} pixels of background; draw a closed outline first and click inside it."
            ));
        }
    }

    fn pick(&mut self, at: Pixel) {
        let code = self
            .shown
            .as_ref()
            .and_then(|shown| shown.sheet.get(at.x, at.y).copied());
        if let Some(class) = code.and_then(Class::from_code) {
            self.class.current = class;
        }
    }

    fn grow_peak(&mut self, at: Pixel) {
        let Some(frame) = self.shown.as_ref().map(|s| s.loaded.frame.clone()) else {
            return;
        };
        let protect = self.protect;
        let mut found = true;
        self.change("peak-grow", None, |sheet, _| {
            let grown = grow::grow_peak(&frame, at);
            found = grown.is_some();
            grown.map_or(PixelRect::new(0, 0, 0, 0), |grown| {
                grown.paint(sheet, protect)
            })
        });
        if !found {
            self.notice("No peak stands out of its surroundings here; paint it, or click nearer to its maximum.");
        }
    }

    /// Takes the prediction over, except where a person has painted.
    pub(super) fn accept(&mut self, what: Accept) {
        let Some(predicted) = self.shown_prediction().cloned() else {
            return self.notice(
                "There is no prediction of this frame yet; switch prediction on and wait for it.",
            );
        };
        let Some(net) = self.net.clone() else { return };
        let by_hand = self.shown.as_ref().map(painted_by_hand);
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
                for &(x, y) in &component {
                    copy_cell(sheet, classes, bad, x, y);
                }
                return sheet.rect();
            }
            for y in 0..sheet.height() {
                for x in 0..sheet.width() {
                    let mine = by_hand
                        .as_ref()
                        .and_then(|painted| painted.get(x, y))
                        .is_some_and(|painted| *painted);
                    let wanted = match what {
                        Accept::All => true,
                        Accept::OneClass(class) => classes.get(x, y) == Some(&class.code()),
                        Accept::Component(_) => false,
                    };
                    if wanted && !mine {
                        copy_cell(sheet, classes, bad, x, y);
                    }
                }
            }
            sheet.rect()
        });
    }

    pub(super) fn clear_sheet(&mut self) {
        self.change("clear", None, |sheet, _| {
            sheet.cells_mut().fill(0);
            sheet.rect()
        });
    }

    pub(super) fn set_review(&mut self, review: Review) {
        if let Err(reason) = self.paintable() {
            return self.notice(reason);
        }
        let Some(key) = self.shown.as_ref().map(|shown| shown.key) else {
            return;
        };
        if let Some(row) = self.rows.get_mut(key.number) {
            row.review = review;
        }
        self.unsaved += 1;
        self.jobs.push(Job::StoreReview(key, review));
    }

    pub(super) fn confirm(&mut self) {
        self.finish_gesture();
        if let Err(reason) = self.paintable() {
            return self.notice(reason);
        }
        if self.is_doubtful_empty() {
            return self.notice(
                "This frame has no labels, but the net finds peaks in it: Y accepts them, Enter once more confirms the \
                 frame as empty.",
            );
        }
        self.notices
            .retain(|notice| !notice.text.starts_with("This frame has no labels"));
        self.set_review(Review::Confirmed);
        self.step(1);
    }

    /// Whether a frame is about to be confirmed as empty that the net finds peaks in; asked once a frame.
    fn is_doubtful_empty(&mut self) -> bool {
        let Some(shown) = &self.shown else {
            return false;
        };
        let key = shown.key;
        let is_untouched = shown.history.edits.is_empty();
        let has_peaks = self
            .shown_prediction()
            .is_some_and(|predicted| !predicted.peaks.is_empty());
        let is_new = self.asked_about.replace(key) != Some(key);
        is_untouched && has_peaks && is_new
    }

    pub(super) fn withdraw(&mut self) {
        if self.review_here() == Review::Confirmed {
            self.set_review(Review::Started);
        }
    }

    pub(super) fn flag(&mut self) {
        if let Err(reason) = self.paintable() {
            return self.notice(reason);
        }
        let (number, now) = (self.selected, self.review_here());
        if now == Review::Flagged {
            let before = self.flagged_from.remove(&number);
            self.set_review(before.unwrap_or(Review::Started));
        } else {
            self.flagged_from.insert(number, now);
            self.set_review(Review::Flagged);
        }
    }

    fn review_here(&self) -> Review {
        let row = self.rows.get(self.selected);
        row.map(|row| row.review).unwrap_or_default()
    }

    fn sheet_changed(&mut self, rect: PixelRect) {
        if rect.is_empty() {
            return;
        }
        self.sheet_version += 1;
        let version = self.sheet_version;
        self.sheet_changes.push(SheetChange { version, rect });
        if self.sheet_changes.len() > CHANGES_KEPT {
            self.sheet_changes.remove(0);
        }
    }

    pub(super) fn sheet_changed_wholly(&mut self) {
        self.sheet_version += 1;
        self.sheet_changes.clear();
    }
}

/// The panels that a gesture may reach: those of the plane, or the slab as one.
fn panels_of(plane: Option<&Assembly>, slab: PixelRect) -> Cow<'_, [Placed]> {
    plane.map_or_else(
        || Cow::Owned(vec![Placed::flat("", slab)]),
        |plane| Cow::Borrowed(plane.panels.as_slice()),
    )
}

/// A position of the pointer as the panel counts it, also outside it.
fn raw_on(panel: &Placed, (x, y): (f32, f32)) -> (f32, f32) {
    let [x, y] = panel.raw_from_plane(f64::from(x), f64::from(y));
    (x as f32, y as f32)
}

fn copy_cell(sheet: &mut Sheet, classes: &Sheet, bad: &Grid<u16>, x: usize, y: usize) {
    let valid = bad
        .get(x, y)
        .is_some_and(|bits| bits & crate::domain::frame::bad::NOT_VALID == 0);
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

/// The cells whose class a person has changed: every applied edit that did not accept a prediction.
fn painted_by_hand(shown: &Shown) -> Grid<bool> {
    let sheet = &shown.sheet;
    let mut painted = Grid::filled(sheet.width(), sheet.height(), false);
    for edit in shown.history.edits.iter().take(shown.history.done) {
        if edit.tool.starts_with("accept") || edit.tool == "clear" {
            continue;
        }
        let width = edit.rect.width().max(1);
        for (i, (before, after)) in edit.before.iter().zip(&edit.after).enumerate() {
            if before != after
                && let Some(cell) =
                    painted.get_mut(edit.rect.x0 + i % width, edit.rect.y0 + i / width)
            {
                *cell = true;
            }
        }
    }
    painted
}
