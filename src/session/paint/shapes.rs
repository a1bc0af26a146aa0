//! Tools that draw an area: line, rectangle, lasso, polygon and ring sector, painted or stamped.

use std::f64::consts::TAU;
use std::ops::Range;
use std::sync::Arc;

use super::{panels_of, raw_on};
use crate::domain::assembly::Assembly;
use crate::domain::brush::shape::Shape;
use crate::domain::brush::{self, Ink, NOTHING, Over};
use crate::domain::grid::PixelRect;
use crate::domain::labels::Class;
use crate::domain::sector::{KnownRing, Polar, RingPlane, Sector, ice_rings, snap};
use crate::session::Session;
use crate::session::look::Preview;
use crate::session::tool::{Gesture, SectorGesture, Tool};

/// Shorter than this along the ring, pixels, a sector is a click, which means the whole ring.
const CLICK_PX: f64 = 2.0;

/// An area in the plane that is shown.
enum Area {
    Line((f32, f32), (f32, f32), f32),
    Outline(Vec<(f32, f32)>),
    Sector(Arc<RingPlane>, Sector),
}

impl Area {
    /// Its cells of the slab row by row, stretches that touch each other as one: what lies side by side in memory is painted
    /// so, however many panels the area goes over.
    fn spans(&self, plane: Option<&Assembly>, slab: PixelRect) -> Vec<(usize, Range<usize>)> {
        let mut all: Vec<(usize, Range<usize>)> = Vec::new();
        match self {
            Self::Sector(rings, sector) => rings.spans(sector, |_, y, span| {
                if span.end <= slab.x1 {
                    all.push((y, span));
                }
            }),
            Self::Line(from, to, diameter_px) => {
                for panel in panels_of(plane, slab).iter() {
                    let shape = Shape::Stroke {
                        from: raw_on(panel, *from),
                        to: raw_on(panel, *to),
                        diameter_px: *diameter_px,
                    };
                    shape.spans(panel.rect.intersect(&slab), |y, span| all.push((y, span)));
                }
            }
            Self::Outline(points) => {
                for panel in panels_of(plane, slab).iter() {
                    let points: Vec<_> = points.iter().map(|at| raw_on(panel, *at)).collect();
                    let shape = Shape::Polygon(&points);
                    shape.spans(panel.rect.intersect(&slab), |y, span| all.push((y, span)));
                }
            }
        }
        all.sort_unstable_by_key(|(y, span)| (*y, span.start));
        all.dedup_by(|(y, next), (row, span)| {
            let is_joined = y == row && next.start <= span.end;
            if is_joined {
                span.end = span.end.max(next.end);
            }
            is_joined
        });
        all
    }
}

impl Session {
    pub(super) fn finish_span(
        &mut self,
        tool: Tool,
        from: (f32, f32),
        to: (f32, f32),
        class: Class,
    ) {
        match tool {
            Tool::Line => {
                let area = Area::Line(from, to, self.brush_diameter);
                self.paint_area(&area, "line", class, false);
            }
            Tool::Rectangle => {
                let (from, to) = if self.plane().is_some() {
                    (from, to)
                } else {
                    // On the slab the pixels that the corners lie in belong to it.
                    let low = (from.0.min(to.0).floor(), from.1.min(to.1).floor());
                    (low, (from.0.max(to.0).ceil(), from.1.max(to.1).ceil()))
                };
                let corners = vec![from, (to.0, from.1), to, (from.0, to.1)];
                self.paint_area(&Area::Outline(corners), "rectangle", class, true);
            }
            _ => self.use_components(from, to, class == Class::Background),
        }
    }

    pub(super) fn finish_outline(&mut self, points: Vec<(f32, f32)>, class: Class, name: &str) {
        if points.len() > 2 {
            self.paint_area(&Area::Outline(points), name, class, true);
        }
    }

    /// Paints an area with a class, or with the prediction where that is chosen and the shape may be stamped.
    fn paint_area(&mut self, area: &Area, what: &str, class: Class, may_stamp: bool) {
        let stamp = may_stamp && self.options.stamps && class != Class::Background;
        let predicted = if stamp {
            self.shown_prediction().cloned()
        } else {
            None
        };
        if stamp && predicted.is_none() {
            return self.refuse(
                "There is no prediction of this frame yet to stamp; switch prediction on and wait for it, or stop stamping.",
            );
        }
        let net = self.net.clone().filter(|_| stamp);
        let name = match &net {
            Some(net) => format!("stamp {} in {what}", net.entry.name),
            None if class == Class::Background => format!("erase {what}"),
            None => format!("{what} {}", class.name()),
        };
        let over = Over::Unprotected(self.protect);
        let plane = self.plane().cloned();
        self.change(&name, net.map(|net| net.digest), |sheet, bad| {
            let mut touched = NOTHING;
            for (y, span) in area.spans(plane.as_deref(), sheet.rect()) {
                match &predicted {
                    Some(from) => {
                        brush::copy_span(sheet, bad, y, span, &from.classes, over, &mut touched);
                    }
                    None => {
                        brush::paint_span(sheet, bad, y, span, Ink { class, over }, &mut touched);
                    }
                }
            }
            touched
        });
    }

    /// Where the panels of the shown run are, as far as rings need it.
    fn ring_plane(&self) -> Option<RingPlane> {
        let info = &self.run.as_ref()?.info;
        RingPlane::of(&info.geometry, info.width, info.height)
    }

    /// The rings that sectors snap to: those of ice, and those of the calibrant where they were found or are expected.
    fn known_rings(&self) -> Vec<KnownRing> {
        let Some(open) = self.run.as_ref().filter(|_| self.options.snaps) else {
            return Vec::new();
        };
        let mut rings = ice_rings(&open.info.geometry);
        let calibrated = self.calibration.iter().flat_map(|(_, found)| &found.rings);
        rings.extend(calibrated.map(|row| KnownRing {
            radius_px: row.found_radius_px.unwrap_or(row.expected_radius_px),
            name: format!("ring {}, {:.2} Å", row.order, row.d_angstrom),
        }));
        rings
    }

    /// Radius and azimuth of where the pointer is; in a gap of the assembled plane as the nearest panel has them.
    fn polar_at(&self, x: f32, y: f32) -> Option<Polar> {
        let rings = self.ring_plane()?;
        let Some(plane) = self.plane() else {
            return rings.polar(f64::from(x), f64::from(y));
        };
        let is_within = |at: f32, size: f64| (0.0..size).contains(&f64::from(at));
        if !(is_within(x, plane.size[0]) && is_within(y, plane.size[1])) {
            return None;
        }
        let (panel, [x, y]) = plane.nearest_panel(f64::from(x), f64::from(y))?;
        rings.polar_by(panel.rect, x, y)
    }

    /// The radius that a sector begun here has, and the name of the ring that it snapped to.
    fn ring_at(&self, x: f32, y: f32) -> Option<(SectorGesture, Option<String>)> {
        let at = self.polar_at(x, y)?;
        let rings = self.known_rings();
        let reach = f64::from(self.options.ring_width_px / 2.0).max(4.0);
        let ring = snap(&rings, at.radius_px, reach);
        let gesture = SectorGesture {
            radius_px: ring.map_or(at.radius_px, |ring| ring.radius_px),
            start: at.azimuth,
            sweep: 0.0,
            last: at.azimuth,
            class: self.class.current,
        };
        Some((gesture, ring.map(|ring| ring.name.clone())))
    }

    pub(super) fn begin_sector(&mut self, x: f32, y: f32, class: Class) {
        if self.ring_plane().is_none() {
            return self.refuse(
                "Ring sectors need the beam centre: from the file, a .geom or .poni, or options.",
            );
        }
        if let Some((gesture, _)) = self.ring_at(x, y) {
            self.gesture = Some(Gesture::Sector(SectorGesture { class, ..gesture }));
        }
    }

    pub(super) fn drag_sector(&mut self, x: f32, y: f32) {
        let at = self.polar_at(x, y);
        // Beside the panels of a slab the sweep goes on where the pointer comes out.
        if let (Some(at), Some(Gesture::Sector(sector))) = (at, &mut self.gesture) {
            let turned = (at.azimuth - sector.last + TAU / 2.0).rem_euclid(TAU) - TAU / 2.0;
            sector.sweep = (sector.sweep + turned).clamp(-TAU, TAU);
            sector.last = at.azimuth;
        }
    }

    fn sector_of(&self, gesture: &SectorGesture) -> Sector {
        let half = f64::from(self.options.ring_width_px) / 2.0;
        let is_click = gesture.sweep.abs() * gesture.radius_px < CLICK_PX;
        Sector {
            inner_px: (gesture.radius_px - half).max(0.0),
            outer_px: gesture.radius_px + half,
            start: gesture.start,
            sweep: if is_click { TAU } else { gesture.sweep },
        }
    }

    pub(super) fn finish_sector(&mut self, gesture: &SectorGesture) {
        let Some(rings) = self.ring_plane() else {
            return;
        };
        let sector = self.sector_of(gesture);
        let name = if sector.sweep.abs() >= TAU {
            "ring"
        } else {
            "ring sector"
        };
        let area = Area::Sector(Arc::new(rings), sector);
        self.paint_area(&area, name, gesture.class, true);
    }

    /// The cells that the ring under the pointer, or the sector that is drawn, would paint, and what to say of it.
    pub(in crate::session) fn ring_preview(&self, x: f32, y: f32) -> Option<Preview> {
        let rings = self.ring_plane()?;
        let (gesture, name) = match &self.gesture {
            Some(Gesture::Sector(gesture)) => (*gesture, None),
            _ => self.ring_at(x, y)?,
        };
        let slab: PixelRect = self.shown.as_ref()?.sheet.rect();
        let mut spans = Vec::new();
        rings.spans(&self.sector_of(&gesture), |_, y, span| {
            if y < slab.y1 && span.end <= slab.x1 {
                spans.push((y, span));
            }
        });
        let name = name.map_or_else(String::new, |name| format!(", {name}"));
        let said = format!("radius {:.0} px{name}", gesture.radius_px);
        Some(Preview { spans, said })
    }
}
