//! From a geometry file to panels in the slab of a run, and to what it says against pixels.

use super::{Axis, BadRegion, Flag, Geom, GeomPanel, MaskLine, Quantity};
use crate::domain::frame::bad;
use crate::domain::geometry::{Geometry, Panel, wavelength_from_energy};
use crate::domain::grid::{Grid, PixelRect};

/// What a geometry file says against pixels, frame by frame the same.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Bits of regions, edges and panels that are bad, and of cells that belong to no panel.
    pub bits: Option<Grid<u16>>,
    /// Rules about values; where all panels have the same one, it holds for the whole frame.
    ranges: Vec<(Option<PixelRect>, Range)>,
}

/// Values outside are bad.
#[derive(Clone, Debug, PartialEq)]
struct Range {
    low: f32,
    high: f32,
    not: Vec<f32>,
    saturated_above: f32,
}

impl Range {
    fn of(panel: &GeomPanel) -> Option<Self> {
        if panel.flags.is_empty() && panel.max_adu.is_none() {
            return None;
        }
        let mut range = Self {
            low: f32::NEG_INFINITY,
            high: f32::INFINITY,
            not: Vec::new(),
            saturated_above: panel.max_adu.map_or(f32::INFINITY, |most| most as f32),
        };
        for flag in &panel.flags {
            match *flag {
                Flag::LessThan(low) => range.low = range.low.max(low as f32),
                Flag::MoreThan(high) => range.high = range.high.min(high as f32),
                Flag::Equal(value) => range.not.push(value as f32),
            }
        }
        Some(range)
    }

    fn apply(&self, pixels: &[f32], bits: &mut [u16]) {
        for (value, bits) in pixels.iter().zip(bits) {
            if *value < self.low || *value > self.high || self.not.contains(value) {
                *bits |= bad::INVALID;
            } else if *value > self.saturated_above {
                *bits |= bad::SATURATED;
            }
        }
    }
}

impl Rules {
    /// Adds what holds for the pixels of one frame of this width.
    pub fn apply(&self, width: usize, pixels: &[f32], bits: &mut [u16]) {
        if let Some(own) = &self.bits {
            for (bits, own) in bits.iter_mut().zip(own.cells()) {
                *bits |= own;
            }
        }
        for (rect, range) in &self.ranges {
            let Some(rect) = rect else {
                range.apply(pixels, bits);
                continue;
            };
            for y in rect.y0..rect.y1 {
                let row = y * width + rect.x0..y * width + rect.x1;
                if let (Some(pixels), Some(bits)) = (pixels.get(row.clone()), bits.get_mut(row)) {
                    range.apply(pixels, bits);
                }
            }
        }
    }
}

impl Geom {
    /// The cells of a panel in the slab, in which all axes of the data block but the fast one are stacked.
    ///
    /// `block` is the shape of one frame in the file, slow axes first: (height, width), or (modules, height, width).
    pub fn rect(&self, panel: &GeomPanel, block: &[usize]) -> PixelRect {
        let axes: Vec<Axis> = panel.axes.values().copied().collect();
        let inner: Vec<Axis> = axes
            .into_iter()
            .filter(|axis| *axis != Axis::Frames)
            .collect();
        let shift = if inner.len() == block.len() {
            let mut rows = 0_usize;
            for (axis, n) in inner.iter().zip(block).take(block.len().saturating_sub(1)) {
                let at = if let Axis::Fixed(at) = axis { *at } else { 0 };
                rows = rows.saturating_mul(*n).saturating_add(at);
            }
            rows
        } else {
            // The file is laid out otherwise than the geometry says; modules as high as the panels reach.
            let rows = self.panels.iter().map(|panel| panel.max_ss + 1).max();
            let module = inner.iter().rev().find_map(|axis| match axis {
                Axis::Fixed(module) => Some(*module),
                _ => None,
            });
            module.unwrap_or(0) * rows.unwrap_or(0)
        };
        PixelRect::new(
            panel.min_fs,
            panel.min_ss.saturating_add(shift),
            panel.max_fs + 1,
            (panel.max_ss + 1).saturating_add(shift),
        )
    }

    /// Panels and beam; `lookup` gives the number at an HDF5 path. Also what the user should know.
    pub fn geometry(
        &self,
        lookup: impl Fn(&str) -> Option<f64>,
        block: &[usize],
    ) -> (Geometry, Vec<String>) {
        let mut notices = Vec::new();
        let mut geometry = Geometry {
            wavelength_angstrom: self.wavelength_angstrom(&lookup),
            ..Geometry::default()
        };
        if geometry.wavelength_angstrom.is_none() {
            notices.push(
                "the geometry file gives no wavelength that can be read from the run".to_owned(),
            );
        }
        if !self.unknown.is_empty() {
            notices.push(format!(
                "the geometry has keys that no version of CrystFEL knows, which are passed by: {}",
                self.unknown.join(", ")
            ));
        }
        let shift = self.detector_shift.each_ref().map(|shift| {
            let resolved = shift.as_ref().and_then(|shift| shift.resolve(&lookup));
            resolved.map_or(
                0.0,
                |(value, unit)| if unit == "mm" { value / 1e3 } else { value },
            )
        });
        for panel in &self.panels {
            let clen = panel.clen.as_ref().and_then(|clen| {
                let (value, unit) = clen.resolve(&lookup)?;
                // A number is in metres unless it says otherwise, a path in millimetres.
                let is_path = matches!(clen, Quantity::Path(..));
                Some(match unit {
                    "mm" => value / 1e3,
                    "m" => value,
                    _ if is_path => value / 1e3,
                    _ => value,
                })
            });
            let (Some(clen), true) = (clen, panel.res > 0.0) else {
                let sentence =
                    "the geometry file has a panel without clen or res; its panels are left out";
                notices.push(sentence.to_owned());
                geometry.panels.clear();
                return (geometry, notices);
            };
            let size = 1.0 / panel.res;
            geometry.panels.push(Panel {
                name: panel.name.clone(),
                rect: self.rect(panel, block),
                corner_m: [
                    panel.corner_x * size + shift[0],
                    panel.corner_y * size + shift[1],
                    clen + panel.coffset_m,
                ],
                fast_m: panel.fs.map(|n| n * size),
                slow_m: panel.ss.map(|n| n * size),
            });
        }
        geometry.summarise();
        (geometry, notices)
    }

    fn wavelength_angstrom(&self, lookup: &impl Fn(&str) -> Option<f64>) -> Option<f64> {
        let number = |quantity: &Option<Quantity>| {
            let (value, unit) = quantity.as_ref()?.resolve(lookup)?;
            (value > 0.0).then(|| (value, unit.to_owned()))
        };
        if let Some((value, unit)) = number(&self.photon_energy) {
            return Some(wavelength_from_energy(match unit.as_str() {
                "keV" => value * 1e3,
                "MeV" => value * 1e6,
                _ => value,
            }));
        }
        if let Some((value, unit)) = number(&self.wavelength) {
            return Some(if unit == "A" { value } else { value * 1e10 });
        }
        let (value, unit) = number(&self.electron_voltage)?;
        let volt = if unit == "kV" { value * 1e3 } else { value };
        // De Broglie with the relativistic correction, angstrom (CODATA 2018).
        Some(12.264_259_7 / (volt * (1.0 + 0.978_475_6e-6 * volt)).sqrt())
    }

    /// What the file says against pixels of frames of this size.
    pub fn rules(&self, width: usize, height: usize, block: &[usize]) -> Rules {
        let whole = PixelRect::new(0, 0, width, height);
        let rects: Vec<PixelRect> = self
            .panels
            .iter()
            .map(|panel| self.rect(panel, block).intersect(&whole))
            .collect();
        let first = self.panels.first().and_then(Range::of);
        let ranges = if self.panels.iter().all(|panel| Range::of(panel) == first) {
            first.map(|range| (None, range)).into_iter().collect()
        } else {
            let each = self.panels.iter().zip(&rects);
            each.filter_map(|(panel, rect)| Some((Some(*rect), Range::of(panel)?)))
                .collect()
        };
        Rules {
            bits: self.bits(width, height, &rects),
            ranges,
        }
    }

    /// The masks that panels name, each with the part of the slab that it holds for; nothing = all of it.
    pub fn masks(&self, block: &[usize]) -> Vec<(MaskLine, Vec<PixelRect>)> {
        let mut found: Vec<(MaskLine, Vec<PixelRect>)> = Vec::new();
        for panel in &self.panels {
            let says =
                |line: &&MaskLine| (line.good_bits | line.bad_bits) != 0 && !line.data.is_empty();
            for line in panel.masks.values().filter(says) {
                let rect = self.rect(panel, block);
                match found.iter_mut().find(|(known, _)| known == line) {
                    Some((_, rects)) => rects.push(rect),
                    None => found.push((line.clone(), vec![rect])),
                }
            }
        }
        for (_, rects) in &mut found {
            if rects.len() == self.panels.len() {
                rects.clear();
            }
        }
        found
    }

    /// The bits of bad regions, edges and panels, and of cells in no panel; `None` when there are none.
    fn bits(&self, width: usize, height: usize, rects: &[PixelRect]) -> Option<Grid<u16>> {
        // A geometry of another detector would hide everything: its panels then lie partly outside.
        let covered: usize = rects.iter().map(|rect| rect.width() * rect.height()).sum();
        let says_gaps = covered < width * height && covered > width * height / 4;
        let says_bad = |panel: &GeomPanel| panel.no_index || panel.mask_edge_pixels > 0;
        if self.regions.is_empty() && !says_gaps && !self.panels.iter().any(says_bad) {
            return None;
        }
        let mut bits = Grid::filled(width, height, if says_gaps { bad::MISSING } else { 0u16 });
        for (panel, rect) in self.panels.iter().zip(rects) {
            let edge = panel.mask_edge_pixels;
            for y in rect.y0..rect.y1 {
                for x in rect.x0..rect.x1 {
                    let from_edge = (x - rect.x0)
                        .min(rect.x1 - 1 - x)
                        .min((y - rect.y0).min(rect.y1 - 1 - y));
                    let is_bad = panel.no_index || from_edge < edge;
                    if let Some(cell) = bits.get_mut(x, y) {
                        *cell = u16::from(is_bad) * bad::UNTRUSTED;
                    }
                }
            }
            for region in &self.regions {
                if region.panel.as_ref().is_none_or(|name| *name == panel.name) {
                    region.mark(panel, *rect, &mut bits);
                }
            }
        }
        Some(bits)
    }
}

impl BadRegion {
    /// Marks the cells of one panel, which lies at `rect` in the slab.
    fn mark(&self, panel: &GeomPanel, rect: PixelRect, bits: &mut Grid<u16>) {
        let inside = |value: f64, min: Option<f64>, max: Option<f64>| {
            min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max)
        };
        let [min_fs, max_fs, min_ss, max_ss] = self.fs_ss;
        let [min_x, max_x, min_y, max_y] = self.x_y;
        let by_cells = self.fs_ss.iter().any(Option::is_some);
        for y in rect.y0..rect.y1 {
            for x in rect.x0..rect.x1 {
                let hit = if by_cells {
                    let ss = y - rect.y0 + panel.min_ss;
                    inside(x as f64, min_fs, max_fs) && inside(ss as f64, min_ss, max_ss)
                } else {
                    let (u, v) = ((x - rect.x0) as f64 + 0.5, (y - rect.y0) as f64 + 0.5);
                    // In pixels of the panel, as its corner is; no distance is needed for it.
                    let [lx, ly] = [panel.corner_x, panel.corner_y];
                    let [lx, ly] = [
                        lx + u * panel.fs[0] + v * panel.ss[0],
                        ly + u * panel.fs[1] + v * panel.ss[1],
                    ];
                    inside(lx, min_x, max_x) && inside(ly, min_y, max_y)
                };
                if hit && let Some(cell) = bits.get_mut(x, y) {
                    *cell |= bad::UNTRUSTED;
                }
            }
        }
    }
}
