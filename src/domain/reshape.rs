//! What the component tools do: each operation turns whole components into a list of pixels and their new classes.
//!
//! A peak's ignored rim goes with it: it moves out or in by a pixel, and vanishes with the peak.

use super::components::Component;
use super::frame::Frame;
use super::grid::{Pixel, PixelRect, PixelSet};
use super::labels::{Class, Sheet};
use super::peaks::split_component;

/// What is done to components.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operation {
    /// They become the painted class.
    #[default]
    Make,
    Delete,
    Grow,
    Shrink,
    /// A component with several summits is parted at the saddles.
    Split,
    /// Components of one class are joined by lines.
    Merge,
}

impl Operation {
    pub const ALL: [Self; 6] = [
        Self::Make,
        Self::Delete,
        Self::Grow,
        Self::Shrink,
        Self::Split,
        Self::Merge,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Make => "make",
            Self::Delete => "delete",
            Self::Grow => "grow",
            Self::Shrink => "shrink",
            Self::Split => "split",
            Self::Merge => "merge",
        }
    }
}

/// Larger components are not merged: no curator means it.
const MOST_MERGED: usize = 2000;

/// The pixels that an operation changes, and the class that each gets; `class` is the one that [`Operation::Make`] gives.
///
/// `panels` are the rectangles of the slab that growth must not leave. Empty where there is nothing to do.
pub fn reshape(
    operation: Operation,
    class: Class,
    frame: &Frame,
    sheet: &Sheet,
    panels: &[PixelRect],
    found: &[Component],
) -> Vec<(Pixel, Class)> {
    let parts = || {
        found
            .iter()
            .filter_map(|component| Part::of(sheet, component))
    };
    let mut changes = Vec::new();
    match operation {
        Operation::Make => parts().for_each(|part| part.make(class, &mut changes)),
        Operation::Delete => parts().for_each(|part| part.make(Class::Background, &mut changes)),
        Operation::Grow => parts().for_each(|part| part.grow(sheet, panels, &mut changes)),
        Operation::Shrink => parts().for_each(|part| part.shrink(panels, &mut changes)),
        Operation::Split => found
            .iter()
            .for_each(|component| split(frame, sheet, component, &mut changes)),
        Operation::Merge => merge(&parts().collect::<Vec<_>>(), &mut changes),
    }
    changes
}

/// A component with what belongs to it.
struct Part {
    class: Class,
    cells: PixelSet,
    /// The ignored pixels around a peak that touch no other peak; empty where it has no rim.
    rim: Vec<Pixel>,
}

impl Part {
    fn of(sheet: &Sheet, component: &Component) -> Option<Self> {
        let cells: PixelSet = component.pixels().collect();
        let first = component.spans.first()?;
        let class = Class::from_code(*sheet.get(first.x0, first.y)?)?;
        let mut part = Self {
            class,
            cells,
            rim: Vec::new(),
        };
        if class == Class::Peak {
            let beside = part.beside(sheet);
            let is_ignored = |p: &&Pixel| class_at(sheet, **p) == Some(Class::Ignore);
            let ignored: Vec<Pixel> = beside.iter().filter(is_ignored).copied().collect();
            if ignored.len() * 2 >= beside.len() {
                let is_own = |p: &Pixel| {
                    let is_other = |q: &Pixel| {
                        class_at(sheet, *q) == Some(Class::Peak) && !part.cells.contains(q)
                    };
                    !eight(*p).iter().any(is_other)
                };
                part.rim = ignored.into_iter().filter(is_own).collect();
            }
        }
        Some(part)
    }

    /// The cells that touch the component, in raster order.
    fn beside(&self, sheet: &Sheet) -> Vec<Pixel> {
        let mut beside: Vec<Pixel> = (self.cells.iter())
            .flat_map(|p| eight(*p))
            .filter(|p| !self.cells.contains(p) && sheet.rect().contains(*p))
            .collect();
        beside.sort_unstable_by_key(|p| (p.y, p.x));
        beside.dedup();
        beside
    }

    fn make(&self, class: Class, changes: &mut Vec<(Pixel, Class)>) {
        if class == self.class {
            return;
        }
        changes.extend(self.cells.iter().chain(&self.rim).map(|p| (*p, class)));
    }

    fn grow(&self, sheet: &Sheet, panels: &[PixelRect], changes: &mut Vec<(Pixel, Class)>) {
        let gives_way = |p: Pixel| match class_at(sheet, p) {
            Some(Class::Background) => true,
            Some(Class::Ignore) => self.class != Class::Ignore,
            Some(Class::Artifact) => self.class == Class::Peak,
            _ => false,
        };
        // Components of one class stay apart.
        let is_apart = |p: Pixel| {
            let is_other =
                |q: &Pixel| class_at(sheet, *q) == Some(self.class) && !self.cells.contains(q);
            !eight(p).iter().any(is_other)
        };
        let mut grown = self.cells.clone();
        for &cell in &self.cells {
            let panel = panels.iter().find(|panel| panel.contains(cell));
            for next in four(cell) {
                let is_free = panel.is_some_and(|panel| panel.contains(next));
                if is_free && !grown.contains(&next) && gives_way(next) && is_apart(next) {
                    grown.insert(next);
                    changes.push((next, self.class));
                }
            }
        }
        if !self.rim.is_empty() {
            let larger = Self {
                class: self.class,
                cells: grown,
                rim: Vec::new(),
            };
            let outside = larger.beside(sheet).into_iter();
            let free = outside.filter(|p| class_at(sheet, *p) == Some(Class::Background));
            changes.extend(free.map(|p| (p, Class::Ignore)));
        }
    }

    fn shrink(&self, panels: &[PixelRect], changes: &mut Vec<(Pixel, Class)>) {
        // What the panel's edge cuts off is no border.
        let is_border = |cell: &&Pixel| {
            let panel = panels.iter().find(|panel| panel.contains(**cell));
            let is_outside = |p: &Pixel| {
                panel.is_some_and(|panel| panel.contains(*p)) && !self.cells.contains(p)
            };
            four(**cell).iter().any(is_outside)
        };
        let removed: PixelSet = self.cells.iter().filter(is_border).copied().collect();
        if removed.len() == self.cells.len() {
            return self.make(Class::Background, changes);
        }
        let left = if self.rim.is_empty() {
            Class::Background
        } else {
            Class::Ignore
        };
        // Ignored cells that touch nothing any more are no rim.
        let touches = |p: &Pixel| {
            let is_kept = |q: &Pixel| self.cells.contains(q) && !removed.contains(q);
            eight(*p).iter().any(is_kept)
        };
        changes.extend(removed.iter().map(|p| {
            let class = if touches(p) { left } else { Class::Background };
            (*p, class)
        }));
        let lost = self.rim.iter().filter(|p| !touches(p));
        changes.extend(lost.map(|p| (*p, Class::Background)));
    }
}

/// Ignores the dimmer pixel wherever two parts touch.
fn split(frame: &Frame, sheet: &Sheet, whole: &Component, changes: &mut Vec<(Pixel, Class)>) {
    let Some(parts) = split_component(frame, sheet, whole) else {
        return;
    };
    let sets: Vec<PixelSet> = parts.iter().map(|part| part.pixels().collect()).collect();
    let value = |p: Pixel| frame.pixels.get(p.x, p.y).copied().unwrap_or(f32::MIN);
    let mut cut: PixelSet = PixelSet::default();
    for (index, part) in sets.iter().enumerate() {
        for pixel in part {
            for next in eight(*pixel) {
                let is_later = sets.iter().skip(index + 1).any(|set| set.contains(&next));
                if is_later {
                    let dimmer = if value(next) < value(*pixel) {
                        next
                    } else {
                        *pixel
                    };
                    cut.insert(dimmer);
                }
            }
        }
    }
    changes.extend(cut.into_iter().map(|p| (p, Class::Ignore)));
}

/// Joins each component to the nearest of those of its class that are joined already.
fn merge(parts: &[Part], changes: &mut Vec<(Pixel, Class)>) {
    for class in [Class::Peak, Class::Artifact, Class::Ignore] {
        let is_meant = |part: &&Part| part.class == class && part.cells.len() <= MOST_MERGED;
        let mut waiting: Vec<&Part> = parts.iter().filter(is_meant).collect();
        let Some(first) = waiting.pop() else { continue };
        let mut joined: Vec<Pixel> = first.cells.iter().copied().collect();
        while !waiting.is_empty() {
            let nearest = waiting.iter().enumerate().flat_map(|(index, part)| {
                let pairs = part.cells.iter();
                pairs
                    .flat_map(|p| joined.iter().map(|q| (distance(*p, *q), index, *p, *q)))
                    .min()
            });
            let Some((_, index, from, to)) = nearest.min() else {
                break;
            };
            changes.extend(between(from, to).map(|p| (p, class)));
            joined.extend(&waiting.swap_remove(index).cells);
        }
    }
}

/// The square of the distance of two pixels.
const fn distance(a: Pixel, b: Pixel) -> usize {
    let (x, y) = (a.x.abs_diff(b.x), a.y.abs_diff(b.y));
    x * x + y * y
}

/// The pixels on the line between two others.
fn between(from: Pixel, to: Pixel) -> impl Iterator<Item = Pixel> {
    let steps = from.x.abs_diff(to.x).max(from.y.abs_diff(to.y)).max(1);
    let place =
        move |a: usize, b: usize, step: usize| (a * (steps - step) + b * step + steps / 2) / steps;
    (1..steps).map(move |step| Pixel {
        x: place(from.x, to.x, step),
        y: place(from.y, to.y, step),
    })
}

fn class_at(sheet: &Sheet, at: Pixel) -> Option<Class> {
    Class::from_code(*sheet.get(at.x, at.y)?)
}

fn near(at: Pixel, dx: isize, dy: isize) -> Option<Pixel> {
    Some(Pixel {
        x: at.x.checked_add_signed(dx)?,
        y: at.y.checked_add_signed(dy)?,
    })
}

fn four(at: Pixel) -> Vec<Pixel> {
    let steps = [(0, -1), (-1, 0), (1, 0), (0, 1)];
    steps
        .iter()
        .filter_map(|(dx, dy)| near(at, *dx, *dy))
        .collect()
}

fn eight(at: Pixel) -> Vec<Pixel> {
    let steps = [
        (-1, -1),
        (0, -1),
        (1, -1),
        (-1, 0),
        (1, 0),
        (-1, 1),
        (0, 1),
        (1, 1),
    ];
    steps
        .iter()
        .filter_map(|(dx, dy)| near(at, *dx, *dy))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::components::component_around;
    use crate::domain::grid::Grid;

    /// Does an operation to the component at a place of a picture: `#` peak, `o` artifact, `-` ignore.
    fn check(
        operation: Operation,
        class: Class,
        places: &[(usize, usize)],
        before: &[&str],
        after: &[&str],
    ) {
        let (width, height) = (before[0].len(), before.len());
        let code = |letter| match letter {
            b'#' => 1,
            b'o' => 2,
            b'-' => 255,
            _ => 0,
        };
        let mut sheet = Grid::from_fn(width, height, |x, y| code(before[y].as_bytes()[x]));
        let pixels = Grid::from_fn(
            width,
            height,
            |x, _| if x == 1 || x == 5 { 500.0 } else { 20.0 },
        );
        let frame = Frame::new(0, pixels, Grid::filled(width, height, 0)).unwrap();
        let find = |(x, y): &(usize, usize)| {
            component_around(&sheet, Pixel { x: *x, y: *y }, 999).unwrap()
        };
        let found: Vec<Component> = places.iter().map(find).collect();
        let panels = [sheet.rect()];
        for (pixel, class) in reshape(operation, class, &frame, &sheet, &panels, &found) {
            *sheet.get_mut(pixel.x, pixel.y).unwrap() = class.code();
        }
        let wanted = Grid::from_fn(width, height, |x, y| code(after[y].as_bytes()[x]));
        assert_eq!(sheet, wanted, "{operation:?} of {before:?}");
    }

    #[test]
    fn operations() {
        use Class::{Artifact, Peak};
        let rimmed = [".....", ".---.", ".-#-.", ".---.", "....."];
        check(
            Operation::Make,
            Artifact,
            &[(2, 2)],
            &rimmed,
            &[".....", ".ooo.", ".ooo.", ".ooo.", "....."],
        );
        check(Operation::Delete, Peak, &[(2, 2)], &rimmed, &["....."; 5]);
        check(Operation::Shrink, Peak, &[(2, 2)], &rimmed, &["....."; 5]);
        check(
            Operation::Grow,
            Peak,
            &[(2, 2)],
            &rimmed,
            &[".---.", "--#--", "-###-", "--#--", ".---."],
        );
        check(
            Operation::Shrink,
            Peak,
            &[(2, 2)],
            &[".---.", "--#--", "-###-", "--#--", ".---."],
            &rimmed,
        );
        check(
            Operation::Grow,
            Peak,
            &[(0, 0)],
            &["#...#", "....."],
            &["##..#", "#...."],
        );
        check(
            Operation::Merge,
            Peak,
            &[(0, 0), (4, 0)],
            &["#...#", "....."],
            &["#####", "....."],
        );
    }
}
