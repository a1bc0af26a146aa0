//! Azimuthal profiles: what a frame shows at each distance from the beam.

use super::frame::{Frame, bad};
use super::geometry::{Geometry, Panel};
use super::grid::Grid;

/// What the profile is plotted against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Distance from the beam in pixels of a flat detector: tan(2 theta) x distance / pixel size.
    RadiusPx,
    /// q = 2 pi / d in 1/angstrom.
    QInverseAngstrom,
}

/// Means and medians in bins of equal width.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Middle of the bins, in the axis's unit.
    pub middles: Vec<f64>,
    /// Mean of the bin's pixels, in the frame's units; NaN where there are none.
    pub mean: Vec<f32>,
    /// Median of the bin's pixels; NaN where there are none.
    pub median: Vec<f32>,
    /// Mean without the brightest and darkest twentieth: spots and bad pixels stay out, sparse photons do not vanish.
    pub trimmed: Vec<f32>,
    /// Standard deviation of the trimmed pixels.
    pub deviation: Vec<f32>,
    /// How many pixels each bin has.
    pub count: Vec<u32>,
    /// Width of a bin.
    pub step: f64,
}

/// Each pixel's place on the axis; NaN outside the panels. `None` where the geometry does not say enough.
///
/// The radius needs the beam centre alone, q needs wavelength, distance and pixel size too.
pub fn axis_map(geometry: &Geometry, axis: Axis, width: usize, height: usize) -> Option<Grid<f32>> {
    let wavelength = geometry.wavelength_angstrom;
    if axis == Axis::QInverseAngstrom && wavelength.is_none() {
        return None;
    }
    let q_of_tangent = |tangent: f64| {
        // 2 sin(theta) from tan(2 theta), without arcus functions.
        let cos = 1.0 / (1.0 + tangent * tangent).sqrt();
        std::f64::consts::TAU * (2.0 * (1.0 - cos)).sqrt() / wavelength.unwrap_or(1.0)
    };
    if geometry.panels.is_empty() {
        let [center_x, center_y] = geometry.beam_center_px?;
        let scale = match axis {
            Axis::RadiusPx => None,
            Axis::QInverseAngstrom => Some((geometry.pixel_size_m?, geometry.detector_distance_m?)),
        };
        return Some(Grid::from_fn(width, height, |x, y| {
            let (dx, dy) = (x as f64 + 0.5 - center_x, y as f64 + 0.5 - center_y);
            match scale {
                None => dx.hypot(dy) as f32,
                Some(([sx, sy], distance)) => {
                    q_of_tangent((dx * sx).hypot(dy * sy) / distance) as f32
                }
            }
        }));
    }
    let per_pixel = match axis {
        Axis::RadiusPx => radius_scale(geometry)?,
        Axis::QInverseAngstrom => 1.0,
    };
    let mut map = Grid::filled(width, height, f32::NAN);
    for panel in &geometry.panels {
        let rect = panel.rect.intersect(&map.rect());
        for y in rect.y0..rect.y1 {
            for x in rect.x0..rect.x1 {
                let [lx, ly, lz] = lab_on_panel(panel, x as f64 + 0.5, y as f64 + 0.5);
                let tangent = lx.hypot(ly) / lz;
                if let Some(cell) = map.get_mut(x, y) {
                    *cell = match axis {
                        Axis::RadiusPx => tangent * per_pixel,
                        Axis::QInverseAngstrom => q_of_tangent(tangent),
                    } as f32;
                }
            }
        }
    }
    Some(map)
}

/// Every pixel's distance from the beam, rounded to pixels; `None` where the beam is not known. Outside of all panels it is 0.
pub fn radius_bins(geometry: &Geometry, width: usize, height: usize) -> Option<Grid<u16>> {
    let map = axis_map(geometry, Axis::RadiusPx, width, height)?;
    // What is not a number becomes 0.
    Some(map.map(|radius| radius.round() as u16))
}

/// Lab position of a continuous slab position by this panel's plane.
pub fn lab_on_panel(panel: &Panel, x: f64, y: f64) -> [f64; 3] {
    let (u, v) = (x - panel.rect.x0 as f64, y - panel.rect.y0 as f64);
    std::array::from_fn(|i| panel.corner_m[i] + u * panel.fast_m[i] + v * panel.slow_m[i])
}

/// Pixels per unit of tan(2 theta): camera length over pixel size, from the panels where the numbers are not given.
pub fn radius_scale(geometry: &Geometry) -> Option<f64> {
    let first = geometry.panels.first();
    let norm = |v: [f64; 3]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let distance = geometry
        .detector_distance_m
        .or_else(|| first.map(|panel| panel.corner_m[2]))?;
    let size = geometry
        .pixel_size_m
        .map(|[x, y]| (x * y).sqrt())
        .or_else(|| first.map(|panel| norm(panel.fast_m)))?;
    (size > 0.0).then(|| distance / size)
}

impl Profile {
    /// Middle and trimmed mean of the bins that have pixels: what a plot shows.
    pub fn points(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.middles
            .iter()
            .zip(&self.trimmed)
            .filter(|(_, value)| value.is_finite())
            .map(|(middle, value)| (*middle, f64::from(*value)))
    }
}

/// The azimuthal profile about a centre (continuous pixels) of a flat detector, in bins of one pixel.
///
/// Cells that are true in `exclude` do not count: with the artifact pixels, the profile with the auto-mask.
pub fn profile(frame: &Frame, center: [f64; 2], exclude: Option<&Grid<bool>>) -> Profile {
    let geometry = Geometry {
        beam_center_px: Some(center),
        ..Geometry::default()
    };
    axis_map(&geometry, Axis::RadiusPx, frame.width(), frame.height())
        .map(|map| profile_on(frame, &map, 1.0, exclude))
        .unwrap_or_default()
}

/// The azimuthal profile of the valid pixels by a map of [`axis_map`], in bins of `step` (in the map's unit).
///
/// Cells that are true in `exclude` do not count. Empty when shapes differ or the step is not positive.
pub fn profile_on(
    frame: &Frame,
    map: &Grid<f32>,
    step: f64,
    exclude: Option<&Grid<bool>>,
) -> Profile {
    let differ = exclude.is_some_and(|grid| grid.rect() != map.rect());
    if frame.pixels.rect() != map.rect() || differ || step.is_nan() || step <= 0.0 {
        return Profile::default();
    }
    const MOST: usize = 100_000;
    let bin_of = |index: usize| -> Option<usize> {
        let place = f64::from(*map.cells().get(index)?) / step;
        let bits = *frame.bad.cells().get(index)?;
        let masked = exclude.is_some_and(|grid| grid.cells().get(index) == Some(&true));
        let usable = place >= 0.0 && bits & bad::NOT_VALID == 0 && !masked;
        (usable && place < MOST as f64).then_some(place as usize)
    };
    // Counting sort: pixels of a bin lie next to each other.
    let mut starts: Vec<usize> = Vec::new();
    for index in 0..map.len() {
        if let Some(bin) = bin_of(index) {
            if starts.len() < bin + 2 {
                starts.resize(bin + 2, 0);
            }
            if let Some(count) = starts.get_mut(bin + 1) {
                *count += 1;
            }
        }
    }
    for bin in 1..starts.len() {
        starts[bin] += starts[bin - 1];
    }
    let bins = starts.len().saturating_sub(1);
    let mut values = vec![0.0_f32; starts.last().copied().unwrap_or(0)];
    let mut next = starts.clone();
    for (index, value) in frame.pixels.cells().iter().enumerate() {
        if let Some(place) = bin_of(index).and_then(|bin| next.get_mut(bin)) {
            if let Some(slot) = values.get_mut(*place) {
                *slot = *value;
            }
            *place += 1;
        }
    }
    let mut out = Profile {
        step,
        ..Profile::default()
    };
    for bin in 0..bins {
        let range = starts[bin]..starts[bin + 1];
        let pixels = values.get_mut(range).unwrap_or(&mut []);
        let count = pixels.len();
        let mean = pixels.iter().map(|v| f64::from(*v)).sum::<f64>() / count as f64;
        pixels.sort_unstable_by(f32::total_cmp);
        let cut = count / 20;
        let kept = pixels.get(cut..count - cut).unwrap_or(&[]);
        let trimmed = kept.iter().map(|v| f64::from(*v)).sum::<f64>() / kept.len() as f64;
        let variance = kept
            .iter()
            .map(|v| (f64::from(*v) - trimmed).powi(2))
            .sum::<f64>()
            / kept.len() as f64;
        out.middles.push((bin as f64 + 0.5) * step);
        out.mean.push(mean as f32);
        out.median
            .push(pixels.get(count / 2).copied().unwrap_or(f32::NAN));
        out.trimmed.push(trimmed as f32);
        out.deviation.push(variance.sqrt() as f32);
        out.count.push(count as u32);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::grid::PixelRect;

    fn geometry() -> Geometry {
        Geometry {
            wavelength_angstrom: Some(1.0),
            detector_distance_m: Some(0.1),
            pixel_size_m: Some([1e-4, 1e-4]),
            beam_center_px: Some([50.0, 40.0]),
            panels: Vec::new(),
        }
    }

    #[test]
    fn a_ring_is_seen_at_its_radius_and_can_be_masked() {
        let map = axis_map(&geometry(), Axis::RadiusPx, 100, 90).unwrap();
        let pixels = map.map(|r| if (r - 30.5).abs() < 1.0 { 9.0 } else { 2.0 });
        let ring = map.map(|r| (r - 30.5).abs() < 1.0);
        let frame = Frame::new(0, pixels, Grid::filled(100, 90, 0)).unwrap();
        let plain = profile(&frame, [50.0, 40.0], None);
        assert_eq!(plain.median[30], 9.0);
        assert_eq!((plain.mean[20], plain.trimmed[45]), (2.0, 2.0));
        let masked = profile_on(&frame, &map, 1.0, Some(&ring));
        assert_eq!(masked.count[30], 0);
        assert!(masked.mean[30].is_nan());
        assert!(masked.points().all(|(_, value)| value == 2.0));
    }

    #[test]
    fn panels_and_flat_detectors_give_the_same_axis() {
        let flat = geometry();
        let mut panels = flat.clone();
        panels.beam_center_px = None;
        panels.panels = vec![Panel {
            name: "p0".to_owned(),
            rect: PixelRect::new(0, 0, 100, 90),
            corner_m: [50e-4, 40e-4, 0.1],
            fast_m: [-1e-4, 0.0, 0.0],
            slow_m: [0.0, -1e-4, 0.0],
        }];
        for axis in [Axis::RadiusPx, Axis::QInverseAngstrom] {
            let a = axis_map(&flat, axis, 100, 90).unwrap();
            let b = axis_map(&panels, axis, 100, 90).unwrap();
            let worst = a
                .cells()
                .iter()
                .zip(b.cells())
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(worst < 1e-3, "{axis:?} {worst}");
        }
        let q = axis_map(&flat, Axis::QInverseAngstrom, 100, 90).unwrap();
        let expected = flat.q_inverse_angstrom(80.5, 10.5).unwrap();
        assert!((f64::from(*q.get(80, 10).unwrap()) - expected).abs() < 1e-5);
        assert!(axis_map(&Geometry::default(), Axis::RadiusPx, 4, 4).is_none());
    }
}
