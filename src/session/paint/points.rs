//! Tools that act where one clicks: fill, pick, peak-grow and the component tools.

use std::ops::Range;
use std::sync::Arc;

use super::{MOST_FILLED, panels_of, raw_on};
use crate::domain::brush::shape::Shape;
use crate::domain::brush::{self, NOTHING, Over};
use crate::domain::components::{Component, component_around};
use crate::domain::grid::{Pixel, PixelRect, PixelSet};
use crate::domain::grow::{self, Grown};
use crate::domain::labels::{Class, Sheet};
use crate::domain::reshape::{Operation, reshape};
use crate::session::Session;

/// A click that merges looks so far for another component.
const MERGE_REACH: usize = 12;

impl Session {
    pub(super) fn fill(&mut self, at: Pixel, class: Class) {
        if let Err(reason) = self.paintable() {
            return self.refuse(reason);
        }
        let protect = self.protect;
        let Some(shown) = &mut self.shown else { return };
        let Some(code) = shown.sheet.get(at.x, at.y).copied() else {
            return;
        };
        let before = shown.sheet.clone();
        let mut rect = NOTHING;
        if !protect.has_code(code) {
            let (sheet, bad) = (Arc::make_mut(&mut shown.sheet), &shown.loaded.frame.bad);
            let (filled, count) = brush::fill_counted(sheet, bad, at, class);
            // An outline that is not closed lets the fill out over the whole frame.
            // No peak is larger than the least that is let through.
            let most = match class {
                Class::Peak => MOST_FILLED,
                _ => MOST_FILLED.max(sheet.len() / 4),
            };
            if code == Class::Background.code() && count > most {
                shown.sheet = before;
                return self.refuse(format!(
                    "This would fill {count} pixels of background; draw a closed outline first and click inside it."
                ));
            }
            rect = filled;
        }
        self.sheet_changed(rect);
        self.record(&before, rect, &format!("fill {}", class.name()), None);
    }

    pub(super) fn pick(&mut self, at: Pixel) {
        let code = self
            .shown
            .as_ref()
            .and_then(|shown| shown.sheet.get(at.x, at.y).copied());
        if let Some(class) = code.and_then(Class::from_code) {
            self.class.current = class;
        }
    }

    /// What a click of peak-grow would grow from this pixel.
    pub(in crate::session) fn grown_at(&self, at: Pixel) -> Option<Grown> {
        let shown = self.shown.as_ref()?;
        let panel = self.panel_of(at)?;
        let sigmas = self.options.grow_sigmas;
        grow::grow_peak_on(&shown.loaded.frame, Some(&shown.sheet), panel, at, sigmas)
    }

    pub(super) fn grow_peak(&mut self, at: Pixel) {
        let over = Over::Unprotected(self.protect);
        let grown = self.grown_at(at);
        let Some(grown) = grown.filter(|grown| !grown.cells.is_empty()) else {
            return self.refuse("No peak stands out of its surroundings here; paint it, or click nearer to its maximum.");
        };
        let level = self.options.grow_sigmas;
        let name = if (level - 1.0).abs() < 0.01 {
            "peak-grow".to_owned()
        } else {
            format!("peak-grow at {level:.1} sigma")
        };
        self.change(&name, None, |sheet, _| grown.paint_over(sheet, over));
    }

    /// The rectangle of the slab that a pixel's panel covers; pixels of no panel belong to the whole slab.
    pub(in crate::session) fn panel_of(&self, at: Pixel) -> Option<PixelRect> {
        let slab = self.shown.as_ref()?.sheet.rect();
        let panels = self.assembly.as_ref().map(|all| all.panels.as_slice());
        let mut rects = panels.unwrap_or_default().iter().map(|panel| panel.rect);
        Some(rects.find(|rect| rect.contains(at)).unwrap_or(slab))
    }

    /// Does the chosen operation to the component at a click, or to those that a box touches.
    pub(super) fn use_components(&mut self, from: (f32, f32), to: (f32, f32), erase: bool) {
        let operation = if erase {
            Operation::Delete
        } else {
            self.options.operation
        };
        let found = self.components_in(from, to, operation);
        if found.is_empty() {
            return self
                .notice("No component is here; the component tool acts on what is labelled.");
        }
        let Some(shown) = &self.shown else { return };
        let slab = shown.sheet.rect();
        let panels: Vec<PixelRect> = match &self.assembly {
            Some(all) => all.panels.iter().map(|panel| panel.rect).collect(),
            None => vec![slab],
        };
        let class = self.class.current;
        let frame = shown.loaded.frame.clone();
        let changes = reshape(operation, class, &frame, &shown.sheet, &panels, &found);
        if changes.is_empty() {
            return self.refuse(match operation {
                Operation::Split => "This component has one summit only; nothing was split.",
                Operation::Merge => "There is no second component of this class to merge with; drag a box over both.",
                _ => "This changes nothing here.",
            });
        }
        let what = match operation {
            Operation::Make => format!("make {}", class.name()),
            _ => operation.name().to_owned(),
        };
        let name = match found.len() {
            1 => format!("{what} component"),
            count => format!("{what} {count} components"),
        };
        let over = Over::Unprotected(self.protect);
        self.change(&name, None, |sheet, bad| {
            let mut touched = NOTHING;
            for (Pixel { x, y }, class) in changes {
                let ink = brush::Ink { class, over };
                brush::paint_span(sheet, bad, y, x..x + 1, ink, &mut touched);
            }
            touched
        });
    }

    /// The labelled components at a click, or those that a box of the plane touches.
    fn components_in(
        &self,
        from: (f32, f32),
        to: (f32, f32),
        operation: Operation,
    ) -> Vec<Component> {
        let Some(shown) = &self.shown else {
            return Vec::new();
        };
        let sheet = &shown.sheet;
        // Components by the places where their stretches of rows begin: those are as long as they can be.
        let mut seen: PixelSet = PixelSet::default();
        let mut found: Vec<Component> = Vec::new();
        let mut take = |at: Pixel| {
            if !seen.contains(&at)
                && let Some(component) = component_around(sheet, at, usize::MAX)
            {
                let starts = component.spans.iter();
                seen.extend(starts.map(|span| Pixel {
                    x: span.x0,
                    y: span.y,
                }));
                found.push(component);
            }
        };
        let is_click = (from.0 - to.0).abs().max((from.1 - to.1).abs()) < 1.5;
        if is_click {
            let raw = self.raw_position(from.0, from.1);
            let at = raw.and_then(|(x, y)| super::pixel_at(x, y, sheet.width(), sheet.height()));
            if let Some(at) = at {
                labelled(sheet, at.y, at.x..at.x + 1, &mut take);
            }
        } else {
            let corners = [from, (to.0, from.1), to, (from.0, to.1)];
            for panel in panels_of(self.plane().map(AsRef::as_ref), sheet.rect()).iter() {
                let corners = corners.map(|at| raw_on(panel, at));
                let within = panel.rect.intersect(&sheet.rect());
                Shape::Polygon(&corners).spans(within, |y, span| {
                    labelled(sheet, y, span, &mut take);
                });
            }
        }
        if let ([one], true, Operation::Merge) = (found.as_slice(), is_click, operation) {
            let other = nearest_other(sheet, one);
            found.extend(other);
        }
        found
    }
}

/// Hands on where the stretches of labelled pixels begin that a part of a row meets.
fn labelled(sheet: &Sheet, y: usize, part: Range<usize>, mut take: impl FnMut(Pixel)) {
    let row = sheet.row(y);
    let background = Class::Background.code();
    let mut x = part.start;
    while let Some(rest) = row.get(x..part.end).filter(|rest| !rest.is_empty()) {
        let Some(skip) = rest.iter().position(|code| *code != background) else {
            return;
        };
        let at = x + skip;
        let Some(&code) = row.get(at) else { return };
        let is_other = |other: &u8| *other != code;
        let before = row.get(..at).unwrap_or_default();
        let start = before.iter().rposition(is_other).map_or(0, |i| i + 1);
        take(Pixel { x: start, y });
        let after = row.get(at..).unwrap_or_default();
        x = after
            .iter()
            .position(is_other)
            .map_or(row.len(), |i| at + i);
    }
}

/// The component of the same class that is nearest to one, within reach.
fn nearest_other(sheet: &Sheet, one: &Component) -> Option<Component> {
    let first = one.spans.first()?;
    let code = *sheet.get(first.x0, first.y)?;
    let around = crate::domain::peaks::background::grown(one.rect, MERGE_REACH, &sheet.rect());
    let own: PixelSet = one.pixels().collect();
    let distance = |p: &Pixel| {
        let away = own
            .iter()
            .map(|q| p.x.abs_diff(q.x).pow(2) + p.y.abs_diff(q.y).pow(2));
        away.min()
    };
    let cells =
        (around.y0..around.y1).flat_map(|y| (around.x0..around.x1).map(move |x| Pixel { x, y }));
    let others = cells.filter(|p| sheet.get(p.x, p.y) == Some(&code) && !own.contains(p));
    component_around(sheet, others.min_by_key(distance)?, usize::MAX)
}
