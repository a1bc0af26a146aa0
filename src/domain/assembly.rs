//! The assembled view: where each panel of the raw slab lies in the plane of the detector, seen along the beam.
//!
//! The plane is the lab frame's x and y without z, in pixels: x of the plane runs against lab +x and y against lab +y, so
//! that a flat detector looks as its raw slab does. Its origin is the outer corner of the rectangle that holds all panels.

use super::geometry::Geometry;
use super::grid::PixelRect;

/// One panel's place in the plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    pub name: String,
    /// Its cells in the raw slab.
    pub rect: PixelRect,
    /// Plane position of the outer corner of its first cell.
    pub corner: [f64; 2],
    /// Plane vectors of one step along x and y of the slab.
    pub fast: [f64; 2],
    pub slow: [f64; 2],
    /// The inverse of [fast slow], row by row.
    inverse: [f64; 4],
}

impl Placed {
    /// A panel that lies in the plane as it does in the slab.
    pub fn flat(name: &str, rect: PixelRect) -> Self {
        Self {
            name: name.to_owned(),
            rect,
            corner: [rect.x0 as f64, rect.y0 as f64],
            fast: [1.0, 0.0],
            slow: [0.0, 1.0],
            inverse: [1.0, 0.0, 0.0, 1.0],
        }
    }

    /// Plane position of a continuous raw position, also of one outside the panel.
    pub fn plane_from_raw(&self, x: f64, y: f64) -> [f64; 2] {
        let (u, v) = (x - self.rect.x0 as f64, y - self.rect.y0 as f64);
        [0, 1].map(|i| self.corner[i] + u * self.fast[i] + v * self.slow[i])
    }

    /// Continuous raw position of a plane position, also of one outside the panel.
    pub fn raw_from_plane(&self, x: f64, y: f64) -> [f64; 2] {
        let (a, b) = (x - self.corner[0], y - self.corner[1]);
        let [xx, xy, yx, yy] = self.inverse;
        [
            self.rect.x0 as f64 + xx * a + xy * b,
            self.rect.y0 as f64 + yx * a + yy * b,
        ]
    }

    /// Whether a continuous raw position lies within the panel.
    pub fn holds(&self, [x, y]: [f64; 2]) -> bool {
        x >= self.rect.x0 as f64
            && y >= self.rect.y0 as f64
            && x < self.rect.x1 as f64
            && y < self.rect.y1 as f64
    }
}

/// All panels in the plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Assembly {
    pub panels: Vec<Placed>,
    /// Extent of the plane, pixels.
    pub size: [f64; 2],
    /// Where the beam goes through the plane.
    pub beam: [f64; 2],
}

impl Assembly {
    /// Panels of a geometry whose positions are known; `None` without panels, or where one is seen edge on.
    pub fn of(geometry: &Geometry) -> Option<Self> {
        let first = geometry.panels.first()?;
        let pixel = first.fast_m.iter().map(|v| v * v).sum::<f64>().sqrt();
        let project = |v: [f64; 3]| [-v[0] / pixel, -v[1] / pixel];
        let mut panels = Vec::with_capacity(geometry.panels.len());
        let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for panel in &geometry.panels {
            let (fast, slow) = (project(panel.fast_m), project(panel.slow_m));
            let area = fast[0] * slow[1] - fast[1] * slow[0];
            if !area.is_finite() || area.abs() < 1e-3 {
                return None;
            }
            let placed = Placed {
                name: panel.name.clone(),
                rect: panel.rect,
                corner: project(panel.corner_m),
                fast,
                slow,
                inverse: [slow[1], -slow[0], -fast[1], fast[0]].map(|v| v / area),
            };
            for (x, y) in [
                (panel.rect.x0, panel.rect.y0),
                (panel.rect.x1, panel.rect.y0),
                (panel.rect.x0, panel.rect.y1),
                (panel.rect.x1, panel.rect.y1),
            ] {
                let at = placed.plane_from_raw(x as f64, y as f64);
                if !at.iter().all(|v| v.is_finite()) {
                    return None;
                }
                for i in 0..2 {
                    low[i] = low[i].min(at[i]);
                    high[i] = high[i].max(at[i]);
                }
            }
            panels.push(placed);
        }
        for panel in &mut panels {
            panel.corner = [0, 1].map(|i| panel.corner[i] - low[i]);
        }
        Some(Self {
            panels,
            size: [0, 1].map(|i| high[i] - low[i]),
            beam: low.map(|v| -v),
        })
    }

    /// The panel that a continuous raw position lies on.
    pub fn panel_of_raw(&self, x: f64, y: f64) -> Option<&Placed> {
        self.panels.iter().find(|panel| panel.holds([x, y]))
    }

    pub fn plane_from_raw(&self, x: f64, y: f64) -> Option<[f64; 2]> {
        Some(self.panel_of_raw(x, y)?.plane_from_raw(x, y))
    }

    /// The raw position under a plane position; `None` in gaps. Where panels overlap, the last one is on top.
    pub fn raw_from_plane(&self, x: f64, y: f64) -> Option<[f64; 2]> {
        let raw = self
            .panels
            .iter()
            .rev()
            .map(|panel| (panel, panel.raw_from_plane(x, y)));
        raw.into_iter()
            .find(|(panel, raw)| panel.holds(*raw))
            .map(|(_, raw)| raw)
    }

    /// The panel that holds a position of the plane, or is nearest to it, and the position as that panel counts it.
    pub fn nearest_panel(&self, x: f64, y: f64) -> Option<(&Placed, [f64; 2])> {
        let outside = |at: f64, from: usize, to: usize| at - at.clamp(from as f64, to as f64);
        let away = |panel: &Placed, [x, y]: [f64; 2]| {
            let (u, v) = (
                outside(x, panel.rect.x0, panel.rect.x1),
                outside(y, panel.rect.y0, panel.rect.y1),
            );
            u * u + v * v
        };
        let placed = self
            .panels
            .iter()
            .map(|panel| (panel, panel.raw_from_plane(x, y)));
        // Of panels that overlap the last one is on top.
        placed
            .rev()
            .min_by(|(a, at), (b, other)| away(a, *at).total_cmp(&away(b, *other)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::geometry::Panel;

    /// Panels of 20 x 10 pixels, turned by any angle, tilted a little, 40 apart.
    fn turned(angles: &[f64]) -> Geometry {
        let size = 1e-4;
        let panels = angles.iter().enumerate().map(|(i, angle)| Panel {
            name: format!("p{i}"),
            rect: PixelRect::new(0, 10 * i, 20, 10 * i + 10),
            corner_m: [40.0 * size * i as f64, -30.0 * size, 0.1],
            fast_m: [size * angle.cos(), size * angle.sin(), 0.02 * size],
            slow_m: [-size * angle.sin(), size * angle.cos(), 0.0],
        });
        Geometry {
            panels: panels.collect(),
            ..Geometry::default()
        }
    }

    proptest! {
        #[test]
        fn raw_to_plane_and_back(
            angles in prop::collection::vec(-7.0_f64..7.0, 1..5),
            u in 0.0_f64..20.0, v in 0.0_f64..10.0, which in 0_usize..5,
        ) {
            let geometry = turned(&angles);
            let assembly = Assembly::of(&geometry).expect("panels are seen from the front");
            let row = which % angles.len();
            let (x, y) = (u, v + 10.0 * row as f64);
            let [a, b] = assembly.plane_from_raw(x, y).expect("on a panel");
            prop_assert!(a > -1e-6 && b > -1e-6 && a < assembly.size[0] + 1e-6 && b < assembly.size[1] + 1e-6);
            let [p, q] = assembly.panels[row].raw_from_plane(a, b);
            prop_assert!((p - x).abs() < 1e-6 && (q - y).abs() < 1e-6);
            // The plane is the lab frame seen along the beam.
            let lab = geometry.lab_from_pixel(x, y).expect("on a panel");
            let pixel = (1.0_f64 + 0.02 * 0.02).sqrt() * 1e-4;
            prop_assert!((assembly.beam[0] - lab[0] / pixel - a).abs() < 1e-6);
            prop_assert!((assembly.beam[1] - lab[1] / pixel - b).abs() < 1e-6);
        }
    }

    #[test]
    fn gaps_are_no_pixels_and_edge_on_panels_no_view() {
        let assembly = Assembly::of(&turned(&[0.0, 0.0])).expect("two panels");
        assert_eq!(assembly.raw_from_plane(assembly.size[0] / 2.0, 5.0), None);
        assert!(assembly.raw_from_plane(1.0, 5.0).is_some());
        let mut geometry = turned(&[0.0]);
        geometry.panels[0].slow_m = [0.0, 0.0, 1e-4];
        assert_eq!(Assembly::of(&geometry), None);
        assert_eq!(Assembly::of(&Geometry::default()), None);
    }
}
