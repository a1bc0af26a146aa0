//! Where the cone of one scattering angle meets the panels of a detector, tilted ones too.

use super::geometry::Geometry;
use super::radial::lab_on_panel;

/// A straight piece of a ring: two continuous raw positions on one panel.
pub type Segment = [(f32, f32); 2];

/// Edge of the squares in which a ring counts as straight, pixels.
const STEP: f64 = 6.0;

/// The ring of a scattering angle (radians) on all panels, as straight pieces of at most some nine pixels.
///
/// Marching squares over each panel: the angle is computed on a grid and taken for linear between its points, which is right
/// to a tenth of a pixel for rings of over 50 pixels. Empty for a geometry without panels.
pub fn ring_segments(geometry: &Geometry, two_theta: f64) -> Vec<Segment> {
    let wanted = two_theta.tan();
    let mut segments = Vec::new();
    for panel in &geometry.panels {
        let steps = |from: usize, to: usize| ((to.max(from) - from) as f64 / STEP).ceil().max(1.0);
        let (columns, rows) = (
            steps(panel.rect.x0, panel.rect.x1),
            steps(panel.rect.y0, panel.rect.y1),
        );
        let place = |from: usize, to: usize, i: usize, n: f64| {
            from as f64 + (to.max(from) - from) as f64 * i as f64 / n
        };
        // The corners of a row of squares: position and how far the tangent is above the wanted one.
        let line = |row: usize| -> Vec<(f64, f64, f64)> {
            let y = place(panel.rect.y0, panel.rect.y1, row, rows);
            let corner = |column: usize| {
                let x = place(panel.rect.x0, panel.rect.x1, column, columns);
                let [lx, ly, lz] = lab_on_panel(panel, x, y);
                (x, y, lx.hypot(ly) / lz - wanted)
            };
            (0..=columns as usize).map(corner).collect()
        };
        let mut above = line(0);
        for row in 1..=rows as usize {
            let below = line(row);
            for (upper, lower) in above.windows(2).zip(below.windows(2)) {
                let (&[a, b], &[d, c]) = (upper, lower) else {
                    continue;
                };
                // Where the ring crosses the square's edges: never, twice, or (through a saddle) four times.
                let edges = [(a, b), (b, c), (c, d), (d, a)];
                let crossings: Vec<(f32, f32)> = edges
                    .into_iter()
                    .filter(|(p, q)| (p.2 > 0.0) != (q.2 > 0.0))
                    .map(|(p, q)| {
                        let t = p.2 / (p.2 - q.2);
                        (
                            (p.0 + (q.0 - p.0) * t) as f32,
                            (p.1 + (q.1 - p.1) * t) as f32,
                        )
                    })
                    .collect();
                segments.extend(crossings.as_chunks::<2>().0);
            }
            above = below;
        }
    }
    segments
}

/// Resolutions that people think in, angstrom.
const ROUND: [f64; 22] = [
    100.0, 70.0, 50.0, 40.0, 30.0, 20.0, 15.0, 10.0, 8.0, 6.0, 5.0, 4.0, 3.5, 3.0, 2.5, 2.0, 1.8,
    1.6, 1.4, 1.2, 1.0, 0.8,
];

/// Rings of round resolutions, d in angstrom, spread over a detector whose frames have this size.
///
/// Empty where the geometry lacks wavelength, distance, pixel size or centre.
pub fn resolution_rings(
    geometry: &Geometry,
    width: usize,
    height: usize,
) -> Vec<(f64, Vec<Segment>)> {
    let Some(placed) = geometry.placed(width, height) else {
        return Vec::new();
    };
    let Some(wavelength) = placed.wavelength_angstrom else {
        return Vec::new();
    };
    let corners = placed.panels.iter().flat_map(|panel| {
        let (w, h) = (panel.rect.width() as f64, panel.rect.height() as f64);
        [(0.0, 0.0), (w, 0.0), (0.0, h), (w, h)].map(|(u, v)| {
            let [x, y, z] = panel.lab_m(u, v);
            x.hypot(y).atan2(z)
        })
    });
    let widest = corners.fold(0.0, f64::max);
    let mut rings = Vec::new();
    let mut last = 0.0;
    for d in ROUND {
        let two_theta = 2.0 * (wavelength / (2.0 * d)).asin();
        // Some seven rings; close ones say nothing more.
        if two_theta.is_finite() && two_theta < widest && two_theta - last > widest / 9.0 {
            last = two_theta;
            rings.push((d, ring_segments(&placed, two_theta)));
        }
    }
    rings.retain(|(_, segments)| !segments.is_empty());
    rings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::geometry::Panel;
    use crate::domain::grid::PixelRect;

    #[test]
    fn rings_lie_at_their_angle_on_flat_and_on_tilted_panels() {
        let size = 1e-4;
        for tilt in [0.0_f64, 0.4] {
            let geometry = Geometry {
                wavelength_angstrom: Some(1.0),
                panels: vec![Panel {
                    name: "p".to_owned(),
                    rect: PixelRect::new(100, 50, 500, 350),
                    corner_m: [-180.0 * size, -140.0 * size, 0.1],
                    fast_m: [size * tilt.cos(), 0.0, size * tilt.sin()],
                    slow_m: [0.0, size, 0.0],
                }],
                ..Geometry::default()
            };
            let two_theta = 0.1;
            let segments = ring_segments(&geometry, two_theta);
            let mut length = 0.0;
            for [(ax, ay), (bx, by)] in segments {
                length += (ax - bx).hypot(ay - by);
                let middle = (f64::from(ax + bx) / 2.0, f64::from(ay + by) / 2.0);
                let found = geometry
                    .two_theta(middle.0, middle.1)
                    .expect("on the panel");
                // A tenth of a pixel at this distance is 1e-4 radians.
                assert!((found - two_theta).abs() < 1e-4, "{found} at {middle:?}");
            }
            let radius = 0.1 * two_theta.tan() / size;
            if tilt == 0.0 {
                let circle = std::f64::consts::TAU * radius;
                assert!(
                    (f64::from(length) - circle).abs() < 0.5,
                    "{length} {circle}"
                );
            } else {
                assert!(length > 300.0, "{length}");
            }
        }
    }
}
