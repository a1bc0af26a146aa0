//! Where pixels are in space: panels, pixel to lab frame, q, two-theta, d, azimuth.
//!
//! Lab frame of CrystFEL (crystfel_geometry(5)): origin at the sample, +z along the beam, +y up,
//! right-handed, so that +x points left for somebody who looks along the beam. Pixel positions inside the
//! program are continuous: cell (0, 0) covers 0..1, its centre is at (0.5, 0.5). Lengths in metres,
//! wavelengths in angstrom, angles in radians.

use std::f64::consts::TAU;

use super::grid::PixelRect;

/// A rectangle of the raw slab that lies flat in space.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    pub name: String,
    /// The cells of the slab that belong to it.
    pub rect: PixelRect,
    /// Lab position of the outer corner of its first cell.
    pub corner_m: [f64; 3],
    /// Lab vector of one step along x (fast axis).
    pub fast_m: [f64; 3],
    /// Lab vector of one step along y (slow axis).
    pub slow_m: [f64; 3],
}

impl Panel {
    /// Lab position of a place on the panel, in cells from its corner.
    pub fn lab_m(&self, u: f64, v: f64) -> [f64; 3] {
        std::array::from_fn(|i| self.corner_m[i] + u * self.fast_m[i] + v * self.slow_m[i])
    }
}

/// What is known of a detector's place and of the beam; every part may be missing.
///
/// `panels` are only filled where a file tells all of it (a .geom, a full header); otherwise the four
/// numbers of a flat detector perpendicular to the beam are used as far as they are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Geometry {
    pub wavelength_angstrom: Option<f64>,
    pub detector_distance_m: Option<f64>,
    /// Size of a pixel along x and y.
    pub pixel_size_m: Option<[f64; 2]>,
    /// Where the direct beam meets the slab: continuous pixel position (first cell's centre = 0.5).
    pub beam_center_px: Option<[f64; 2]>,
    pub panels: Vec<Panel>,
}

impl Geometry {
    /// Lab position of a continuous pixel position, where enough is known.
    pub fn lab_from_pixel(&self, x: f64, y: f64) -> Option<[f64; 3]> {
        if !self.panels.is_empty() {
            let (cell_x, cell_y) = (x.floor(), y.floor());
            let panel = self.panels.iter().find(|panel| {
                cell_x >= panel.rect.x0 as f64
                    && cell_x < panel.rect.x1 as f64
                    && cell_y >= panel.rect.y0 as f64
                    && cell_y < panel.rect.y1 as f64
            })?;
            return Some(panel.lab_m(x - panel.rect.x0 as f64, y - panel.rect.y0 as f64));
        }
        let [size_x, size_y] = self.pixel_size_m?;
        let [center_x, center_y] = self.beam_center_px?;
        // Seen along the beam, x of the slab runs to the right and y down: both against the lab axes.
        Some([
            -(x - center_x) * size_x,
            -(y - center_y) * size_y,
            self.detector_distance_m?,
        ])
    }

    /// The same geometry with at least one panel: a flat detector perpendicular to the beam becomes one that covers the
    /// frame. `None` where its place is not known.
    pub fn placed(&self, width: usize, height: usize) -> Option<Self> {
        if !self.panels.is_empty() {
            return Some(self.clone());
        }
        let corner_m = self.lab_from_pixel(0.0, 0.0)?;
        let [size_x, size_y] = self.pixel_size_m?;
        Some(Self {
            panels: vec![Panel {
                name: "p0".to_owned(),
                rect: PixelRect::new(0, 0, width, height),
                corner_m,
                fast_m: [-size_x, 0.0, 0.0],
                slow_m: [0.0, -size_y, 0.0],
            }],
            ..self.clone()
        })
    }

    /// Scattering angle at a continuous pixel position, radians.
    pub fn two_theta(&self, x: f64, y: f64) -> Option<f64> {
        let [lx, ly, lz] = self.lab_from_pixel(x, y)?;
        Some(lx.hypot(ly).atan2(lz))
    }

    /// Angle about the beam at a continuous pixel position, radians in 0..2 pi, from lab +x towards +y.
    pub fn azimuth(&self, x: f64, y: f64) -> Option<f64> {
        let [lx, ly, _] = self.lab_from_pixel(x, y)?;
        Some(ly.atan2(lx).rem_euclid(TAU))
    }

    /// Resolution d in angstrom by Bragg's law; `None` in the beam itself.
    pub fn d_angstrom(&self, x: f64, y: f64) -> Option<f64> {
        let half = self.two_theta(x, y)? / 2.0;
        let d = self.wavelength_angstrom? / (2.0 * half.sin());
        d.is_finite().then_some(d)
    }

    /// Length of the scattering vector, q = 2 pi / d, in 1/angstrom.
    pub fn q_inverse_angstrom(&self, x: f64, y: f64) -> Option<f64> {
        let half = self.two_theta(x, y)? / 2.0;
        Some(2.0 * TAU / self.wavelength_angstrom? * half.sin())
    }

    /// Radius in pixels of the ring of resolution d on a flat detector perpendicular to the beam.
    pub fn ring_radius_px(&self, d_angstrom: f64) -> Option<f64> {
        let sine = self.wavelength_angstrom? / (2.0 * d_angstrom);
        let [size_x, size_y] = self.pixel_size_m?;
        if !(0.0..std::f64::consts::FRAC_1_SQRT_2).contains(&sine) {
            return None;
        }
        Some(self.detector_distance_m? * (2.0 * sine.asin()).tan() / (size_x * size_y).sqrt())
    }

    /// Fills distance, pixel size and beam centre from the panels: where the beam meets one, or the nearest.
    pub fn summarise(&mut self) {
        let mut best: Option<(f64, [f64; 2], f64)> = None;
        for panel in &self.panels {
            // corner + u fast + v slow has no x and y where the beam is.
            let ([cx, cy, cz], [fx, fy, fz], [sx, sy, sz]) =
                (panel.corner_m, panel.fast_m, panel.slow_m);
            let determinant = fx * sy - fy * sx;
            if determinant.abs() < 1e-18 {
                continue;
            }
            let u = (cy * sx - cx * sy) / determinant;
            let v = (cx * fy - cy * fx) / determinant;
            let beyond = |value: f64, size: usize| (-value).max(value - size as f64).max(0.0);
            let away = beyond(u, panel.rect.width()).hypot(beyond(v, panel.rect.height()));
            if best.is_none_or(|(least, ..)| away < least) {
                let center = [panel.rect.x0 as f64 + u, panel.rect.y0 as f64 + v];
                best = Some((away, center, cz + u * fz + v * sz));
            }
        }
        let Some((away, center, distance)) = best else {
            return;
        };
        self.detector_distance_m = Some(distance);
        // Between the panels of a slab there is no pixel position to give.
        self.beam_center_px = (away == 0.0 || self.panels.len() == 1).then_some(center);
        if let Some(panel) = self.panels.first() {
            let length = |v: [f64; 3]| v.iter().map(|n| n * n).sum::<f64>().sqrt();
            self.pixel_size_m = Some([length(panel.fast_m), length(panel.slow_m)]);
        }
    }

    /// Whether enough is known to say where a ring of some d lies.
    pub fn places_rings(&self) -> bool {
        let is_flat = self.detector_distance_m.is_some()
            && self.pixel_size_m.is_some()
            && self.beam_center_px.is_some();
        self.wavelength_angstrom.is_some() && (is_flat || !self.panels.is_empty())
    }

    /// What the other knows and this one does not is taken over.
    pub fn fill_from(&mut self, other: &Self) {
        self.wavelength_angstrom = self.wavelength_angstrom.or(other.wavelength_angstrom);
        self.detector_distance_m = self.detector_distance_m.or(other.detector_distance_m);
        self.pixel_size_m = self.pixel_size_m.or(other.pixel_size_m);
        self.beam_center_px = self.beam_center_px.or(other.beam_center_px);
        if self.panels.is_empty() {
            self.panels.clone_from(&other.panels);
        }
    }
}

/// Photon energy in electronvolt to wavelength in angstrom and back (CODATA 2018, hc = 12398.4198 eV A).
pub fn wavelength_from_energy(value: f64) -> f64 {
    12_398.419_843_320_026 / value
}
