//! Sectors of rings about the beam, on all panels: tilted ones and gaps included.
//!
//! A radius is that of a flat detector perpendicular to the beam, in pixels: tan(two-theta) x camera length / pixel size.

use std::f64::consts::TAU;
use std::ops::Range;

use super::brush::shape::cells_between;
use super::calibrant::ring_radius_px;
use super::geometry::{Geometry, Panel};
use super::grid::PixelRect;
use super::radial::{lab_on_panel, radius_scale};

/// The d-spacings of hexagonal ice, angstrom: those of a = 4.498 and c = 7.338 angstrom, near 100 K.
pub const ICE_ANGSTROM: [f64; 10] = [
    3.895, 3.669, 3.441, 2.671, 2.249, 2.072, 1.948, 1.918, 1.882, 1.721,
];

/// Cells so near to a radius are asked one by one.
const MARGIN: f64 = 1.0;

/// A piece of a ring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sector {
    pub inner_px: f64,
    pub outer_px: f64,
    /// Azimuth where it begins, radians.
    pub start: f64,
    /// How far it goes on from there, radians, against the sense of the azimuth when negative; a full turn is all of the ring.
    pub sweep: f64,
}

/// Distance from the beam and angle about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Polar {
    pub radius_px: f64,
    /// Radians.
    pub azimuth: f64,
}

/// Where the panels are, as far as rings need it.
#[derive(Clone, Debug)]
pub struct RingPlane {
    panels: Vec<Panel>,
    /// Pixels of radius per unit of tan(two-theta).
    scale: f64,
}

impl RingPlane {
    /// Of frames of this size; `None` where not even the beam centre is known.
    pub fn of(geometry: &Geometry, width: usize, height: usize) -> Option<Self> {
        if let Some(placed) = geometry.placed(width, height)
            && let Some(scale) = radius_scale(&placed)
        {
            return Some(Self {
                panels: placed.panels,
                scale,
            });
        }
        // With the beam centre alone, pixels are the unit of length and any distance does.
        let [x, y] = geometry.beam_center_px?;
        Some(Self {
            panels: vec![Panel {
                name: String::new(),
                rect: PixelRect::new(0, 0, width, height),
                corner_m: [x, y, 1e4],
                fast_m: [-1.0, 0.0, 0.0],
                slow_m: [0.0, -1.0, 0.0],
            }],
            scale: 1e4,
        })
    }

    /// Radius and azimuth of a continuous raw position; `None` beside the panels.
    pub fn polar(&self, x: f64, y: f64) -> Option<Polar> {
        let holds = |panel: &&Panel| {
            let rect = panel.rect;
            x >= rect.x0 as f64 && x < rect.x1 as f64 && y >= rect.y0 as f64 && y < rect.y1 as f64
        };
        Some(self.polar_on(self.panels.iter().find(holds)?, x, y))
    }

    /// As [`Self::polar`], by the plane of the panel of these cells, on it or beside it.
    pub fn polar_by(&self, cells: PixelRect, x: f64, y: f64) -> Option<Polar> {
        let panel = self.panels.iter().find(|panel| panel.rect == cells)?;
        Some(self.polar_on(panel, x, y))
    }

    fn polar_on(&self, panel: &Panel, x: f64, y: f64) -> Polar {
        let [lx, ly, _] = lab_on_panel(panel, x, y);
        Polar {
            radius_px: self.radius_px(panel, x, y),
            azimuth: ly.atan2(lx),
        }
    }

    fn radius_px(&self, panel: &Panel, x: f64, y: f64) -> f64 {
        let [lx, ly, lz] = lab_on_panel(panel, x, y);
        self.scale * (lx * lx + ly * ly).sqrt() / lz
    }

    /// Hands on the cells of a sector: the panel's rectangle, rows, and stretches of columns.
    pub fn spans(&self, sector: &Sector, mut take: impl FnMut(PixelRect, usize, Range<usize>)) {
        for panel in &self.panels {
            if self.passes_by(panel, sector) {
                continue;
            }
            for y in panel.rect.y0..panel.rect.y1 {
                for cells in self.candidates(panel, y, sector).into_iter().flatten() {
                    let mut begun: Option<usize> = None;
                    let mut go_on = |cells: Range<usize>, is_in: bool| match (begun, is_in) {
                        (None, true) => begun = Some(cells.start),
                        (Some(start), false) => {
                            take(panel.rect, y, start..cells.start);
                            begun = None;
                        }
                        _ => {}
                    };
                    self.along(panel, y, sector, cells.clone(), &mut go_on);
                    go_on(cells.end..cells.end, false);
                }
            }
        }
    }

    /// Whether the ring surely has no cell of a panel: all its corners lie nearer, or on the far side of a line that the outer
    /// circle touches. (Within a circle about the beam a plane is convex, and so it is beyond such a line.)
    fn passes_by(&self, panel: &Panel, sector: &Sector) -> bool {
        let rect = panel.rect;
        let corners = [
            (rect.x0, rect.y0),
            (rect.x1, rect.y0),
            (rect.x0, rect.y1),
            (rect.x1, rect.y1),
        ]
        .map(|(x, y)| lab_on_panel(panel, x as f64, y as f64));
        if corners.iter().any(|[_, _, z]| *z <= 0.0) {
            return false;
        }
        let places = corners.map(|[x, y, z]| [self.scale * x / z, self.scale * y / z]);
        let [x, y] = [0, 1].map(|axis| places.iter().map(|at| at[axis]).sum::<f64>());
        let length = x.hypot(y).max(f64::MIN_POSITIVE);
        let along = |at: &[f64; 2]| (at[0] * x + at[1] * y) / length;
        let is_nearer = places.iter().all(|at| at[0].hypot(at[1]) < sector.inner_px);
        is_nearer || places.iter().all(|at| along(at) > sector.outer_px)
    }

    /// Goes along cells of a row and says of stretches of them, in order, whether they are in the sector.
    fn along(
        &self,
        panel: &Panel,
        y: usize,
        sector: &Sector,
        cells: Range<usize>,
        go_on: &mut impl FnMut(Range<usize>, bool),
    ) {
        /// So many cells are asked by their ends; fewer where that does not answer.
        const BLOCKS: [usize; 2] = [64, 8];
        let is_whole = sector.sweep.abs() >= TAU;
        let turned = |x: usize| {
            let [lx, ly, _] = lab_on_panel(panel, x as f64 + 0.5, y as f64 + 0.5);
            let turned = (ly.atan2(lx) - sector.start) * sector.sweep.signum();
            turned.rem_euclid(TAU)
        };
        let is_within = |x: usize| {
            let radius_px = self.radius_px(panel, x as f64 + 0.5, y as f64 + 0.5);
            radius_px >= sector.inner_px
                && radius_px <= sector.outer_px
                && (is_whole || turned(x) <= sector.sweep.abs())
        };
        let surely = self.surely_between(panel, y, sector);
        // What is true of all cells of a stretch, where its ends say it.
        let together = |x: usize, end: usize| {
            if !surely
                .iter()
                .flatten()
                .any(|sure| sure.start <= x && end <= sure.end)
            {
                return None;
            }
            if is_whole {
                return Some(true);
            }
            // Along a row the azimuth only grows or only falls, by less than half a turn.
            let (first, last) = (turned(x), turned(end - 1));
            let sides = [first, last].map(|turned| turned <= sector.sweep.abs());
            let is_one = sides[0] == sides[1] && (last - first).abs() < TAU / 4.0;
            is_one.then_some(sides[0])
        };
        let mut x = cells.start;
        while x < cells.end {
            let ends = BLOCKS.map(|length| (x + length).min(cells.end));
            let known = ends
                .into_iter()
                .find_map(|end| Some((end, together(x, end)?)));
            if let Some((end, is_in)) = known {
                go_on(x..end, is_in);
                x = end;
            } else {
                let [_, end] = ends;
                (x..end).for_each(|x| go_on(x..x + 1, is_within(x)));
                x = end;
            }
        }
    }

    /// The cells of one row that lie between the radii for sure, a cell away from either.
    fn surely_between(
        &self,
        panel: &Panel,
        y: usize,
        sector: &Sector,
    ) -> [Option<Range<usize>>; 2] {
        let row = panel.rect.x0..panel.rect.x1;
        let ends = [row.start, row.end].map(|x| lab_on_panel(panel, x as f64, y as f64 + 0.5)[2]);
        let outer = self.crossings(panel, y, sector.outer_px).flatten();
        let (Some([low, high]), true) = (outer, ends.iter().all(|z| *z > 0.0)) else {
            return [None, None];
        };
        let (low, high) = (low + MARGIN, high - MARGIN);
        match self.crossings(panel, y, sector.inner_px.max(0.0)) {
            Some(Some([from, to])) => [
                Some(cells_between(low, from - MARGIN, row.clone())),
                Some(cells_between(to + MARGIN, high, row)),
            ],
            // The row passes by the inner circle.
            Some(None) => [Some(cells_between(low, high, row)), None],
            None => [None, None],
        }
    }

    /// Where a row crosses a radius; `None` on a panel that is seen so steeply that the curve is no ellipse.
    fn crossings(&self, panel: &Panel, y: usize, radius_px: f64) -> Option<Option<[f64; 2]>> {
        let origin = lab_on_panel(panel, 0.0, y as f64 + 0.5);
        let tangent = radius_px / self.scale;
        let form =
            |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] - tangent * tangent * a[2] * b[2];
        let (a, b, c) = (
            form(panel.fast_m, panel.fast_m),
            2.0 * form(panel.fast_m, origin),
            form(origin, origin),
        );
        let inner = b * b - 4.0 * a * c;
        let half = inner.max(0.0).sqrt();
        (a > 0.0)
            .then(|| (inner >= 0.0).then_some([(-b - half) / (2.0 * a), (-b + half) / (2.0 * a)]))
    }

    /// The cells of one row that may lie between the radii.
    ///
    /// Along a row the lab position is linear, so that each radius is a quadratic equation; what it lets through is looked at
    /// cell by cell.
    fn candidates(&self, panel: &Panel, y: usize, sector: &Sector) -> [Option<Range<usize>>; 2] {
        let row = panel.rect.x0..panel.rect.x1;
        let roots = |radius_px: f64| self.crossings(panel, y, radius_px);
        let Some(outer) = roots(sector.outer_px) else {
            return [Some(row), None];
        };
        let Some([low, high]) = outer else {
            return [None, None];
        };
        let all = cells_between(low - MARGIN, high + MARGIN, row);
        match roots(sector.inner_px.max(0.0)).flatten() {
            Some([from, to]) if to - from > 2.0 * MARGIN => {
                let left = cells_between(low - MARGIN, from + MARGIN, all.clone());
                let right =
                    cells_between(to - MARGIN, high + MARGIN, left.end.max(all.start)..all.end);
                [Some(left), Some(right)]
            }
            _ => [Some(all), None],
        }
    }
}

/// A ring that a sector may snap to.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownRing {
    pub radius_px: f64,
    /// As people call it: `ice 3.67 Å`.
    pub name: String,
}

/// The rings of ice, where the geometry says enough.
pub fn ice_rings(geometry: &Geometry) -> Vec<KnownRing> {
    let ring = |d: &f64| {
        let radius_px = ring_radius_px(geometry, *d)?;
        Some(KnownRing {
            radius_px,
            name: format!("ice {d:.2} Å"),
        })
    };
    ICE_ANGSTROM.iter().filter_map(ring).collect()
}

/// The known ring nearest to a radius, if it lies within reach.
pub fn snap(rings: &[KnownRing], radius_px: f64, reach_px: f64) -> Option<&KnownRing> {
    let away = |ring: &KnownRing| (ring.radius_px - radius_px).abs();
    let nearest = rings.iter().min_by(|a, b| away(a).total_cmp(&away(b)));
    nearest.filter(|ring| away(ring) <= reach_px)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two panels, one of them tilted and turned.
    fn panels(tilt: f64, turn: f64) -> Geometry {
        let size = 1e-4;
        let (sin, cos) = turn.sin_cos();
        let panel = |y0: usize, corner: [f64; 2], fast: [f64; 3], slow: [f64; 3]| Panel {
            name: format!("p{y0}"),
            rect: PixelRect::new(0, y0, 60, y0 + 40),
            corner_m: [corner[0] * size, corner[1] * size, 0.05],
            fast_m: fast.map(|v| v * size),
            slow_m: slow.map(|v| v * size),
        };
        Geometry {
            wavelength_angstrom: Some(1.0),
            panels: vec![
                panel(0, [30.0, 55.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]),
                panel(40, [20.0, 5.0], [-cos, -sin, tilt], [sin, -cos, 0.0]),
            ],
            ..Geometry::default()
        }
    }

    proptest! {
        #[test]
        fn a_sector_is_what_lies_between_its_radii_and_angles(
            tilt in -0.6_f64..0.6, turn in -3.0_f64..3.0, inner in 0.0_f64..60.0, width in 0.5_f64..30.0,
            start in -7.0_f64..7.0, sweep in -7.0_f64..7.0, is_flat: bool,
        ) {
            let geometry = if is_flat {
                Geometry { beam_center_px: Some([33.3, 20.1]), ..Geometry::default() }
            } else {
                panels(tilt, turn)
            };
            let plane = RingPlane::of(&geometry, 60, 80).expect("the beam centre is known");
            let sector = Sector { inner_px: inner, outer_px: inner + width, start, sweep };
            let mut found = std::collections::HashSet::new();
            plane.spans(&sector, |panel, y, span| {
                for x in span {
                    assert!(panel.contains(crate::domain::grid::Pixel { x, y }));
                    assert!(found.insert((x, y)), "{x} {y} comes twice");
                }
            });
            for y in 0..80 {
                for x in 0..60 {
                    let Some(at) = plane.polar(x as f64 + 0.5, y as f64 + 0.5) else { continue };
                    let turned = ((at.azimuth - start) * sweep.signum()).rem_euclid(TAU);
                    let is_in = at.radius_px >= inner && at.radius_px <= inner + width
                        && (sweep.abs() >= TAU || turned <= sweep.abs());
                    prop_assert_eq!(found.contains(&(x, y)), is_in, "{} {} {:?}", x, y, at);
                }
            }
        }
    }

    #[test]
    fn radii_snap_to_the_nearest_ring_within_reach() {
        let geometry = Geometry {
            wavelength_angstrom: Some(1.0),
            detector_distance_m: Some(0.1),
            pixel_size_m: Some([1e-4; 2]),
            beam_center_px: Some([500.0; 2]),
            panels: Vec::new(),
        };
        let rings = ice_rings(&geometry);
        assert_eq!(rings.len(), ICE_ANGSTROM.len());
        let first = ring_radius_px(&geometry, 3.669).expect("the geometry says enough");
        let name = |radius| snap(&rings, radius, 4.0).map(|ring| ring.name.as_str());
        assert_eq!(name(first + 3.0), Some("ice 3.67 Å"));
        assert_eq!(name(100.0), None);
        assert!(ice_rings(&Geometry::default()).is_empty());
    }
}
