//! Painting labels: one gesture, one edit, one undo step, one transaction on disk.

use std::borrow::Cow;
use std::sync::Arc;

mod points;
mod predicted;
mod shapes;

use super::browse::Shown;
use super::job::Job;
use super::tool::{Gesture, Tool, ToolEvent, pixel_at};
use super::{Session, SheetChange};
use crate::domain::assembly::{Assembly, Placed};
use crate::domain::brush::shape::Shape;
use crate::domain::brush::{self, Ink, NOTHING, Over};
use crate::domain::grid::{Grid, Pixel, PixelRect};
use crate::domain::labels::{Class, Edit, Sheet};
use crate::domain::threshold::LocalLevels;

/// A fill of more background than this, and than a quarter of the frame, is taken for a slip.
const MOST_FILLED: usize = 4096;
/// How many sheet changes are kept for textures that lag behind.
const CHANGES_KEPT: usize = 64;

impl Session {
    /// The shown frame, if it may be painted on now: it is the selected one, with its labels.
    pub(super) fn paintable(&self) -> Result<&Shown, String> {
        let Some(shown) = &self.shown else {
            return Err("No frame is open to paint on.".to_owned());
        };
        if let Some(reason) = &shown.read_only {
            return Err(reason.clone());
        }
        if self.store_failed {
            return Err(
                "What was painted last is not on disk yet; try again, then paint on.".to_owned(),
            );
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
                let is_open = |gesture: &Gesture| {
                    matches!(
                        gesture,
                        Gesture::Outline {
                            is_polygon: true,
                            ..
                        }
                    )
                };
                if !self.gesture.as_ref().is_some_and(is_open) {
                    self.finish_gesture();
                }
            }
            ToolEvent::Hover(at) => self.hover = at,
            ToolEvent::Finish => self.finish_gesture(),
            ToolEvent::Cancel => self.cancel_gesture(),
        }
    }

    fn press(&mut self, x: f32, y: f32, erase: bool) {
        let before = match self.paintable() {
            Ok(shown) => shown.sheet.clone(),
            Err(reason) => return self.refuse(reason),
        };
        let (width, height) = (before.width(), before.height());
        let class = if erase || self.tool == Tool::Eraser {
            Class::Background
        } else {
            self.class.current
        };
        match self.tool {
            Tool::Brush | Tool::Eraser | Tool::Threshold => {
                let is_threshold = self.tool == Tool::Threshold;
                let name = match (is_threshold, class) {
                    (false, Class::Background) => "eraser".to_owned(),
                    (false, class) => format!("brush {}", class.name()),
                    (true, class) => format!("threshold brush {}", class.name()),
                };
                self.gesture = Some(Gesture::Stroke {
                    before,
                    touched: NOTHING,
                    last: (x, y),
                    class,
                    name,
                    levels: is_threshold.then(|| LocalLevels::new(self.brush_diameter)),
                });
                self.drag(x, y);
            }
            Tool::Polygon | Tool::Lasso => {
                if let Some(Gesture::Outline { points, .. }) = &mut self.gesture {
                    points.push((x, y));
                } else {
                    self.gesture = Some(Gesture::Outline {
                        points: vec![(x, y)],
                        class,
                        is_polygon: self.tool == Tool::Polygon,
                    });
                }
            }
            Tool::Line | Tool::Rectangle | Tool::Component => {
                self.gesture = Some(Gesture::Span {
                    tool: self.tool,
                    from: (x, y),
                    to: (x, y),
                    class: if erase || self.tool != Tool::Component {
                        class
                    } else {
                        // Whatever is painted, the left button does the chosen operation.
                        Class::Peak
                    },
                });
            }
            Tool::Ring => self.begin_sector(x, y, class),
            Tool::Fill | Tool::Pick | Tool::PeakGrow => {
                let raw = self.raw_position(x, y);
                let Some(at) = raw.and_then(|(x, y)| pixel_at(x, y, width, height)) else {
                    return;
                };
                match self.tool {
                    Tool::Fill => self.fill(at, class),
                    Tool::Pick => self.pick(at),
                    _ => {
                        self.gesture = Some(Gesture::Grow {
                            at,
                            start_y: y,
                            start_sigmas: self.options.grow_sigmas,
                        });
                    }
                }
            }
        }
    }

    /// The raw position of where the pointer is; `None` in a gap of the assembled plane.
    pub(super) fn raw_position(&self, x: f32, y: f32) -> Option<(f32, f32)> {
        let Some(plane) = self.plane() else {
            return Some((x, y));
        };
        let [x, y] = plane.raw_from_plane(f64::from(x), f64::from(y))?;
        Some((x as f32, y as f32))
    }

    fn drag(&mut self, x: f32, y: f32) {
        match &mut self.gesture {
            Some(Gesture::Stroke { .. }) => self.drag_stroke(x, y),
            Some(Gesture::Outline {
                points,
                is_polygon: false,
                ..
            }) => points.push((x, y)),
            Some(Gesture::Span { to, .. }) => *to = (x, y),
            Some(Gesture::Grow {
                start_y,
                start_sigmas,
                ..
            }) => {
                /// So many pixels up double the level.
                const DOUBLES: f32 = 4.0;
                let level = *start_sigmas * ((*start_y - y) / DOUBLES).exp2();
                self.options.grow_sigmas = level.clamp(0.2, 100.0);
            }
            Some(Gesture::Sector(_)) => self.drag_sector(x, y),
            Some(Gesture::Outline { .. }) | None => {}
        }
    }

    fn drag_stroke(&mut self, x: f32, y: f32) {
        let diameter_px = self.brush_diameter;
        let (over, threshold) = (Over::Unprotected(self.protect), self.options.threshold);
        let plane = self.plane().cloned();
        let Some(Gesture::Stroke {
            before,
            touched,
            last,
            class,
            levels,
            ..
        }) = &mut self.gesture
        else {
            return;
        };
        let Some(shown) = &mut self.shown else { return };
        let ink = Ink {
            class: *class,
            over,
        };
        let sheet = Arc::make_mut(&mut shown.sheet);
        let frame = &shown.loaded.frame;
        let mut changed = Vec::new();
        for panel in panels_of(plane.as_deref(), sheet.rect()).iter() {
            let [from, to] = [*last, (x, y)].map(|at| raw_on(panel, at));
            let shape = Shape::Stroke {
                from,
                to,
                diameter_px,
            };
            let rect = match levels {
                None => brush::paint(sheet, &frame.bad, panel.rect, &shape, ink),
                Some(levels) => {
                    let mut rect = NOTHING;
                    shape.spans(panel.rect.intersect(&sheet.rect()), |y, span| {
                        for x in span {
                            let at = Pixel { x, y };
                            if levels.admits(threshold, frame, before, panel.rect, at) {
                                brush::paint_span(sheet, &frame.bad, y, x..x + 1, ink, &mut rect);
                            }
                        }
                    });
                    rect
                }
            };
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
            Some(Gesture::Outline {
                points,
                class,
                is_polygon,
            }) => {
                let name = if is_polygon { "polygon" } else { "lasso" };
                self.finish_outline(points, class, name);
            }
            Some(Gesture::Span {
                tool,
                from,
                to,
                class,
            }) => self.finish_span(tool, from, to, class),
            Some(Gesture::Grow { at, .. }) => self.grow_peak(at),
            Some(Gesture::Sector(sector)) => self.finish_sector(&sector),
            None => {}
        }
    }

    /// Drops the gesture under way, as if it had not begun.
    pub(super) fn cancel_gesture(&mut self) {
        match (self.gesture.take(), &mut self.shown) {
            (
                Some(Gesture::Stroke {
                    before, touched, ..
                }),
                Some(shown),
            ) => {
                shown.sheet = before;
                self.sheet_changed(touched);
            }
            (Some(Gesture::Grow { start_sigmas, .. }), _) => {
                self.options.grow_sigmas = start_sigmas;
            }
            _ => {}
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
            return self.refuse(reason);
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
            if !self.protect.is_empty() {
                self.refuse(
                    "Nothing was changed; protected classes are neither painted over nor erased.",
                );
            }
            return;
        };
        self.keep(Arc::new(edit), net);
    }

    /// Notes an edit that is already on the shown sheet, in memory and on disk.
    pub(super) fn keep(&mut self, edit: Arc<Edit>, net: Option<String>) {
        let Some(shown) = &mut self.shown else { return };
        shown.history.push(edit.clone());
        let key = shown.key;
        self.unsaved += 1;
        self.jobs.push(Job::StoreEdit { key, edit, net });
        self.mark_started(key.number);
    }

    /// A frame's labels were changed.
    fn mark_started(&mut self, number: usize) {
        self.note_source();
        self.forget_refusals();
        if let Some(row) = self.rows.get_mut(number) {
            row.review = row.review.after_change();
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
            return self.refuse(reason);
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
        self.confirm_again();
        self.triage_travelled(&edit, back);
    }

    /// Brings the labels of an earlier step back as one new edit; undone steps are done again instead.
    pub(super) fn restore(&mut self, count: usize) {
        self.cancel_gesture();
        let Some(shown) = &self.shown else { return };
        let history = &shown.history;
        let count = count.min(history.edits.len());
        if count >= history.done {
            let steps = count - history.done;
            return (0..steps).for_each(|_| self.travel(false));
        }
        let name = match count + history.older {
            0 => "restore the blank sheet".to_owned(),
            step => format!("restore step {step}"),
        };
        let state = history.state(&shown.sheet, count);
        self.change(&name, None, |sheet, _| {
            *sheet = state;
            sheet.rect()
        });
    }

    pub(super) fn clear_sheet(&mut self) {
        self.change("clear", None, |sheet, _| {
            sheet.cells_mut().fill(0);
            sheet.rect()
        });
    }

    pub(super) fn sheet_changed(&mut self, rect: PixelRect) {
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
