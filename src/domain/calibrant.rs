//! Calibrants: substances whose powder rings lie at known d-spacings, and where those rings are on a detector.

use super::frame::{Frame, bad};
use super::geometry::Geometry;
use super::labels::{Class, Sheet};
use super::radial::{Axis, Profile, axis_map, lab_on_panel, profile_on, radius_scale};

/// A powder with known d-spacings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calibrant {
    /// d001 = 58.380 angstrom, orders d001 / n (Huang, Toraya, Blanton, Wu, J. Appl. Cryst. 26 (1993) 180).
    SilverBehenate,
    /// Primitive cubic, a = 4.15689 angstrom (NIST SRM 660a/b to the digits that rings need).
    LanthanumHexaboride,
    /// Face-centred cubic, a = 5.41165 angstrom (NIST SRM 674b).
    Ceria,
}

impl Calibrant {
    pub const ALL: [Self; 3] = [Self::SilverBehenate, Self::LanthanumHexaboride, Self::Ceria];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SilverBehenate => "silver-behenate",
            Self::LanthanumHexaboride => "lab6",
            Self::Ceria => "ceo2",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }

    /// The first `count` d-spacings in angstrom, largest first: order 1, 2, ...
    pub fn d_angstrom(self, count: usize) -> Vec<f64> {
        match self {
            Self::SilverBehenate => (1..=count).map(|n| 58.380 / n as f64).collect(),
            Self::LanthanumHexaboride => cubic(4.156_89, count, |_, _, _| true),
            Self::Ceria => cubic(5.411_65, count, |h, k, l| h % 2 == k % 2 && k % 2 == l % 2),
        }
    }
}

fn cubic(a: f64, count: usize, allowed: impl Fn(u32, u32, u32) -> bool) -> Vec<f64> {
    let mut sums: Vec<u32> = Vec::new();
    for h in 0..16_u32 {
        for k in 0..=h {
            for l in 0..=k {
                let sum = h * h + k * k + l * l;
                // Beyond 16 squared some sums would be missing.
                if sum > 0 && sum < 256 && allowed(h, k, l) {
                    sums.push(sum);
                }
            }
        }
    }
    sums.sort_unstable();
    sums.dedup();
    sums.truncate(count);
    sums.iter().map(|s| a / f64::from(*s).sqrt()).collect()
}

/// One order's row in the table of rings found against rings expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RingRow {
    pub order: usize,
    pub d_angstrom: f64,
    /// Where the geometry says that the ring is, pixels of a flat detector.
    pub expected_radius_px: f64,
    /// Where the azimuthal profile has its maximum; `None` where nothing stands out.
    pub found_radius_px: Option<f64>,
    /// Share of the circumference that lies on valid pixels.
    pub visible_fraction: f64,
    /// Share of the visible ring's pixels that are marked artifact; `None` without a class map or a visible ring.
    pub artifact_fraction: Option<f64>,
}

/// Half width of the band in which a ring's pixels are counted.
const BAND_PX: f64 = 1.5;

/// Rings found against rings expected, for all orders that reach the frame.
///
/// A ring counts as found when the trimmed azimuthal mean, over the straight line through the window's ends, has a
/// maximum of over 4 sigma within the window (a third of the way to the next order, at most 12 px); its radius is
/// the centroid of the top fifth. Empty where the geometry lacks wavelength, distance, pixel size or centre.
pub fn ring_table(
    frame: &Frame,
    geometry: &Geometry,
    calibrant: Calibrant,
    classes: Option<&Sheet>,
) -> Vec<RingRow> {
    let (width, height) = (frame.width(), frame.height());
    let Some(map) = axis_map(geometry, Axis::RadiusPx, width, height) else {
        return Vec::new();
    };
    let farthest = map
        .cells()
        .iter()
        .copied()
        .filter(|r| r.is_finite())
        .fold(0.0, f32::max);
    let radii: Vec<(f64, f64)> = calibrant
        .d_angstrom(MOST_ORDERS)
        .into_iter()
        .map_while(|d| Some((d, ring_radius_px(geometry, d)?)))
        .take_while(|(_, radius)| *radius < f64::from(farthest))
        .collect();
    let profile = profile_on(frame, &map, 1.0, None);
    let mut rows: Vec<RingRow> = Vec::new();
    for (index, (d, expected)) in radii.iter().enumerate() {
        let gap = |other: Option<&(f64, f64)>| other.map_or(f64::MAX, |o| (o.1 - expected).abs());
        let before = index.checked_sub(1).and_then(|i| radii.get(i));
        let spacing = gap(before).min(gap(radii.get(index + 1))).min(*expected);
        let window = (spacing / 3.0).min(12.0);
        rows.push(RingRow {
            order: index + 1,
            d_angstrom: *d,
            expected_radius_px: *expected,
            found_radius_px: find_maximum(&profile, *expected, window),
            visible_fraction: 0.0,
            artifact_fraction: None,
        });
    }
    let mut tallies = vec![[0_u32; 2]; rows.len()];
    let ring_of: Vec<Option<usize>> = {
        // By whole pixel of radius: the ring whose band may reach it.
        let mut table = vec![None; farthest as usize + 2];
        for (index, row) in rows.iter().enumerate() {
            let radius = row.found_radius_px.unwrap_or(row.expected_radius_px);
            let (first, last) = ((radius - BAND_PX).max(0.0), radius + BAND_PX);
            for slot in table
                .iter_mut()
                .take(last as usize + 1)
                .skip(first as usize)
            {
                *slot = Some(index);
            }
        }
        table
    };
    for (index, radius) in map.cells().iter().enumerate() {
        let ring = radius
            .is_finite()
            .then(|| ring_of.get(*radius as usize).copied().flatten())
            .flatten();
        let Some(ring) = ring else { continue };
        let (Some(row), Some(tally)) = (rows.get(ring), tallies.get_mut(ring)) else {
            continue;
        };
        let at = row.found_radius_px.unwrap_or(row.expected_radius_px);
        let valid = frame
            .bad
            .cells()
            .get(index)
            .is_some_and(|b| b & bad::NOT_VALID == 0);
        if !valid || (f64::from(*radius) - at).abs() > BAND_PX {
            continue;
        }
        tally[0] += 1;
        let class = classes.and_then(|sheet| sheet.cells().get(index));
        tally[1] += u32::from(class.copied() == Some(Class::Artifact.code()));
    }
    for (row, [visible, marked]) in rows.iter_mut().zip(tallies) {
        let radius = row.found_radius_px.unwrap_or(row.expected_radius_px);
        let area = std::f64::consts::TAU * radius * 2.0 * BAND_PX;
        row.visible_fraction = (f64::from(visible) / area).min(1.0);
        if classes.is_some() && visible > 0 {
            row.artifact_fraction = Some(f64::from(marked) / f64::from(visible));
        }
    }
    rows
}

/// No table is longer.
const MOST_ORDERS: usize = 60;

/// Radius of the ring of resolution d in pixels of a flat detector; works for panels too.
pub fn ring_radius_px(geometry: &Geometry, d_angstrom: f64) -> Option<f64> {
    let sine = geometry.wavelength_angstrom? / (2.0 * d_angstrom);
    if !(0.0..0.7).contains(&sine) {
        return None;
    }
    Some(radius_scale(geometry)? * (2.0 * sine.asin()).tan())
}

fn find_maximum(profile: &Profile, expected: f64, window: f64) -> Option<f64> {
    let first = ((expected - window).max(0.0) / profile.step) as usize;
    let last = ((expected + window) / profile.step).ceil() as usize;
    let known: Vec<(f64, f64, f64)> = (first..=last)
        .filter_map(|bin| {
            let count = f64::from(*profile.count.get(bin)?);
            let value = f64::from(*profile.trimmed.get(bin)?);
            let error = f64::from(*profile.deviation.get(bin)?) / count.max(1.0).sqrt();
            (count >= 8.0 && value.is_finite()).then_some((
                *profile.middles.get(bin)?,
                value,
                error,
            ))
        })
        .collect();
    if known.len() < 5 {
        return None;
    }
    // A straight line through the two lowest thirds' minima is the ring's background.
    let third = known.len() / 3;
    let lowest = |part: &[(f64, f64, f64)]| part.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
    let left = lowest(known.get(..third.max(1))?)?;
    let right = lowest(known.get(known.len() - third.max(1)..)?)?;
    let slope = (right.1 - left.1) / (right.0 - left.0).max(1e-9);
    let above = |at: &(f64, f64, f64)| at.1 - left.1 - slope * (at.0 - left.0);
    let (top, best) = known
        .iter()
        .enumerate()
        .max_by(|a, b| above(a.1).total_cmp(&above(b.1)))?;
    let height = above(best);
    // The maximum of a slope lies at the window's end and is no ring.
    if height <= 4.0 * best.2.max(1e-12) || top == 0 || top + 1 == known.len() {
        return None;
    }
    // The top fifth and the maximum's neighbours: a smeared ring is a plateau, a sharp one three bins.
    let beside = |i: usize| known.get(i).map_or(0.0, &above);
    let floor = (0.8 * height).min(beside(top - 1)).min(beside(top + 1));
    let over = |at: &&(f64, f64, f64)| above(at) > floor;
    let up = known.iter().skip(top).take_while(over);
    let down = known.iter().take(top).rev().take_while(over);
    let (mut sum, mut weight) = (0.0, 0.0);
    for at in up.chain(down) {
        let w = above(at) - floor;
        sum += w * at.0;
        weight += w;
    }
    (weight > 0.0).then(|| sum / weight)
}

/// The ring of resolution d as polylines of continuous slab positions; empty where too little is known.
///
/// On a flat detector one closed circle, cut where it leaves the frame; on panels the contour of two-theta is
/// traced in cells of 8 px, two points a line, so that tilted and turned panels are right as well.
pub fn ring_polylines(
    geometry: &Geometry,
    d_angstrom: f64,
    width: usize,
    height: usize,
) -> Vec<Vec<[f64; 2]>> {
    let Some(radius) = ring_radius_px(geometry, d_angstrom) else {
        return Vec::new();
    };
    if geometry.panels.is_empty() {
        let Some([center_x, center_y]) = geometry.beam_center_px else {
            return Vec::new();
        };
        let steps = (radius * 1.5).clamp(64.0, 4096.0) as usize;
        let mut lines: Vec<Vec<[f64; 2]>> = Vec::new();
        let mut line = Vec::new();
        for step in 0..=steps {
            let angle = std::f64::consts::TAU * step as f64 / steps as f64;
            let point = [
                center_x + radius * angle.cos(),
                center_y + radius * angle.sin(),
            ];
            let inside = point[0] >= 0.0
                && point[1] >= 0.0
                && point[0] <= width as f64
                && point[1] <= height as f64;
            if inside {
                line.push(point);
            } else if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
        }
        lines.extend((!line.is_empty()).then_some(line));
        return lines;
    }
    let Some(scale) = radius_scale(geometry) else {
        return Vec::new();
    };
    let tangent = radius / scale;
    let mut lines = Vec::new();
    for panel in &geometry.panels {
        let rect = panel.rect;
        let nodes = |start: usize, end: usize| {
            let mut nodes: Vec<f64> = (start..end).step_by(8).map(|x| x as f64).collect();
            nodes.push(end as f64);
            nodes
        };
        let (xs, ys) = (nodes(rect.x0, rect.x1), nodes(rect.y0, rect.y1));
        let value = |x: f64, y: f64| {
            let [lx, ly, lz] = lab_on_panel(panel, x, y);
            lx.hypot(ly) / lz - tangent
        };
        for rows in ys.windows(2) {
            for columns in xs.windows(2) {
                let (&[y0, y1], &[x0, x1]) = (rows, columns) else {
                    continue;
                };
                let corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
                let mut cuts = Vec::new();
                for side in 0..4 {
                    let (a, b) = (corners[side], corners[(side + 1) % 4]);
                    let (va, vb) = (value(a[0], a[1]), value(b[0], b[1]));
                    if (va < 0.0) != (vb < 0.0) {
                        let t = va / (va - vb);
                        cuts.push([a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]);
                    }
                }
                lines.extend(cuts.chunks_exact(2).map(<[_]>::to_vec));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::geometry::Panel;
    use crate::domain::grid::{Grid, PixelRect};

    fn flat() -> Geometry {
        Geometry {
            wavelength_angstrom: Some(1.0),
            detector_distance_m: Some(0.5),
            pixel_size_m: Some([1e-4, 1e-4]),
            beam_center_px: Some([150.0, 140.0]),
            panels: Vec::new(),
        }
    }

    #[test]
    fn rings_are_found_beside_where_they_are_expected() {
        let geometry = flat();
        let map = axis_map(&geometry, Axis::RadiusPx, 300, 300).unwrap();
        // The true camera is 2 % shorter, so that rings lie at 98 % of the expected radii.
        let first = geometry.ring_radius_px(58.380).unwrap() * 0.98;
        let shape = |r: f32| {
            let order = (f64::from(r) / first).round().max(1.0);
            let away = f64::from(r) - order * first;
            (-away * away / 4.5).exp() as f32
        };
        let pixels = Grid::from_fn(300, 300, |x, y| {
            100.0 + 30.0 * shape(*map.get(x, y).unwrap()) + ((x * 31 + y * 17) % 7) as f32
        });
        let mut bad = Grid::filled(300, 300, 0);
        for y in 0..140 {
            bad.row_mut(y).fill(bad::MISSING);
        }
        let marked = map.map(|r| if shape(*r) > 0.3 { 2 } else { 0 });
        let frame = Frame::new(0, pixels, bad).unwrap();
        let rows = ring_table(&frame, &geometry, Calibrant::SilverBehenate, Some(&marked));
        assert!(rows.len() >= 2, "{rows:?}");
        for row in rows.iter().filter(|row| row.expected_radius_px < 130.0) {
            let found = row.found_radius_px.unwrap();
            assert!((found - row.order as f64 * first).abs() < 0.3, "{row:?}");
            assert!((row.visible_fraction - 0.5).abs() < 0.03, "{row:?}");
            assert!(row.artifact_fraction.unwrap() > 0.95, "{row:?}");
        }
        let blank = Frame::new(0, Grid::filled(300, 300, 5.0), Grid::filled(300, 300, 0)).unwrap();
        let rows = ring_table(&blank, &geometry, Calibrant::SilverBehenate, None);
        assert!(
            rows.iter()
                .all(|r| r.found_radius_px.is_none() && r.artifact_fraction.is_none())
        );
        assert!(ring_table(&blank, &Geometry::default(), Calibrant::Ceria, None).is_empty());
    }

    #[test]
    fn lines_on_panels_lie_on_the_ring() {
        let mut geometry = flat();
        let circle = ring_polylines(&geometry, 58.380, 300, 300);
        assert_eq!(circle.len(), 1);
        geometry.panels = vec![Panel {
            name: "p0".to_owned(),
            rect: PixelRect::new(0, 0, 300, 300),
            corner_m: [150e-4, 140e-4, 0.5],
            fast_m: [-1e-4, 0.0, 0.2e-4],
            slow_m: [0.0, -1e-4, 0.0],
        }];
        let lines = ring_polylines(&geometry, 58.380, 300, 300);
        assert!(lines.len() > 30);
        for [x, y] in lines.into_iter().flatten() {
            let d = geometry.d_angstrom(x.min(299.99), y.min(299.99)).unwrap();
            assert!((d - 58.380).abs() < 0.3, "{d} at {x} {y}");
        }
    }

    #[test]
    fn d_spacings() {
        for (calibrant, order, expected) in [
            (Calibrant::SilverBehenate, 1, 58.380),
            (Calibrant::SilverBehenate, 10, 5.838),
            (Calibrant::LanthanumHexaboride, 1, 4.15689),
            (Calibrant::LanthanumHexaboride, 7, 1.46968),
            (Calibrant::Ceria, 1, 3.12442),
            (Calibrant::Ceria, 3, 1.91331),
        ] {
            let d = calibrant.d_angstrom(order)[order - 1];
            assert!((d - expected).abs() < 1e-4, "{calibrant:?} {order} {d}");
        }
    }
}
