//! Geometry files as text: what was parsed, whole, and the geometry of a run of this program.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Axis, BadRegion, Flag, Geom, GeomPanel, MaskLine, Quantity};
use crate::domain::geometry::{Geometry, Panel, wavelength_from_energy};
use crate::domain::grid::PixelRect;

/// What a written geometry says besides panels and beam.
#[derive(Clone, Debug)]
pub struct GeomLines<'a> {
    pub data: &'a str,
    /// The path of the mask and the bits that make a pixel bad.
    pub mask: Option<(&'a str, u16)>,
    pub peak_list: Option<&'a str>,
    /// The file that the geometry came from: its groups, bad regions and rules about values are kept.
    pub from: Option<&'a Geom>,
}

/// The text of a geometry file for frames of `width` x `height` pixels, one slab a frame.
///
/// What is not known gets a stand-in that says so in a comment, because CrystFEL needs a number.
pub fn write_geom(geometry: &Geometry, width: usize, height: usize, lines: &GeomLines) -> String {
    let mut geom = of_slab(geometry, width, height, lines);
    if let Some(from) = lines.from {
        keep(&mut geom, from, geometry);
    }
    let is_flat = geometry.panels.is_empty();
    let missing = [
        ("photon_energy", geometry.wavelength_angstrom.is_none()),
        ("clen", geometry.detector_distance_m.is_none()),
        ("res", geometry.pixel_size_m.is_none()),
        ("corner_x", is_flat && geometry.beam_center_px.is_none()),
        ("corner_y", is_flat && geometry.beam_center_px.is_none()),
    ];
    let stand_ins: Vec<&str> = missing
        .iter()
        .filter(|(_, is_missing)| *is_missing)
        .map(|(key, _)| *key)
        .collect();
    geom.text(&stand_ins)
}

/// The geometry of a run, its panels as cells of the slab.
fn of_slab(geometry: &Geometry, width: usize, height: usize, lines: &GeomLines) -> Geom {
    let energy = geometry.wavelength_angstrom.map(wavelength_from_energy);
    let [size_x, size_y] = geometry.pixel_size_m.unwrap_or([1e-4; 2]);
    let distance = geometry.detector_distance_m.unwrap_or(0.1);
    let flat = || {
        let [x, y] = geometry
            .beam_center_px
            .unwrap_or([width as f64 / 2.0, height as f64 / 2.0]);
        Panel {
            name: "p0".to_owned(),
            rect: PixelRect::new(0, 0, width.max(1), height.max(1)),
            corner_m: [x * size_x, y * size_y, distance],
            fast_m: [-size_x, 0.0, 0.0],
            slow_m: [0.0, -size_y, 0.0],
        }
    };
    let res = 1.0 / size_x;
    let axes = [(0, Axis::Frames), (1, Axis::Slow), (2, Axis::Fast)];
    let panel = |panel: &Panel| GeomPanel {
        name: panel.name.clone(),
        min_fs: panel.rect.x0,
        max_fs: panel.rect.x1.saturating_sub(1),
        min_ss: panel.rect.y0,
        max_ss: panel.rect.y1.saturating_sub(1),
        corner_x: panel.corner_m[0] * res,
        corner_y: panel.corner_m[1] * res,
        fs: panel.fast_m.map(|n| n * res),
        ss: panel.slow_m.map(|n| n * res),
        res,
        coffset_m: panel.corner_m[2] - distance,
        clen: Some(Quantity::Number(distance, "m".to_owned())),
        data: Some(lines.data.to_owned()),
        axes: BTreeMap::from(axes),
        masks: lines
            .mask
            .map(|(path, bits)| {
                let line = MaskLine {
                    data: path.to_owned(),
                    bad_bits: u32::from(bits),
                    ..MaskLine::default()
                };
                (0, line)
            })
            .into_iter()
            .collect(),
        other: BTreeMap::from([("adu_per_photon".to_owned(), "1".to_owned())]),
        ..GeomPanel::default()
    };
    Geom {
        panels: match geometry.panels.as_slice() {
            [] => vec![panel(&flat())],
            panels => panels.iter().map(panel).collect(),
        },
        photon_energy: Some(Quantity::Number(energy.unwrap_or(9000.0), "eV".to_owned())),
        peak_list: lines.peak_list.map(str::to_owned),
        ..Geom::default()
    }
}

/// Takes over what another file says of the same panels and this program does not know better.
fn keep(geom: &mut Geom, from: &Geom, geometry: &Geometry) {
    let same = |panel: &GeomPanel| from.panels.iter().find(|other| other.name == panel.name);
    if !geom.panels.iter().all(|panel| same(panel).is_some()) {
        return; // the panels were replaced by hand
    }
    geom.kept.clone_from(&from.kept);
    for panel in &mut geom.panels {
        if let Some(other) = same(panel) {
            panel.flags.clone_from(&other.flags);
            panel.max_adu = other.max_adu;
            panel.mask_edge_pixels = other.mask_edge_pixels;
            panel.no_index = other.no_index;
            panel.other.clone_from(&other.other);
        }
    }
    for region in &from.regions {
        let by_cells = region.fs_ss.iter().any(Option::is_some);
        for panel in from.panels.iter().filter(|panel| {
            by_cells && region.panel.as_ref().is_none_or(|name| *name == panel.name)
        }) {
            // In the slab, the panel may lie below others.
            let placed = geometry
                .panels
                .iter()
                .find(|placed| placed.name == panel.name);
            let shift = placed.map_or(0.0, |placed| placed.rect.y0 as f64 - panel.min_ss as f64);
            let [min_fs, max_fs, min_ss, max_ss] = region.fs_ss;
            let name = match region.panel {
                Some(_) => region.name.clone(),
                None => format!("{}_{}", region.name, panel.name),
            };
            geom.regions.push(BadRegion {
                name,
                panel: Some(panel.name.clone()),
                fs_ss: [
                    min_fs,
                    max_fs,
                    min_ss.map(|ss| ss + shift),
                    max_ss.map(|ss| ss + shift),
                ],
                x_y: [None; 4],
            });
        }
        if !by_cells {
            geom.regions.push(region.clone());
        }
    }
}

impl Geom {
    /// The whole file as text; lines whose key is among the stand-ins say that their value is not known.
    pub fn text(&self, stand_ins: &[&str]) -> String {
        let mut out = String::from("; Written by PeakNet Studio.\n");
        let note = |key: &str| {
            if stand_ins.contains(&key) {
                " ; NOT KNOWN: a stand-in, correct it"
            } else {
                ""
            }
        };
        let mut line = |prefix: &str, key: &str, value: &str| {
            let _ = writeln!(out, "{prefix}{key} = {value}{}", note(key));
        };
        let beam = [
            ("photon_energy", &self.photon_energy),
            ("wavelength", &self.wavelength),
            ("electron_voltage", &self.electron_voltage),
            ("detector_shift_x", &self.detector_shift[0]),
            ("detector_shift_y", &self.detector_shift[1]),
        ];
        for (key, quantity) in beam {
            if let Some(quantity) = quantity {
                line("", key, &written(quantity));
            }
        }
        if let Some(path) = &self.peak_list {
            line("", "peak_list", path);
        }
        for (key, value) in &self.kept {
            line("", key, value);
        }
        // What all panels share stands once, above them.
        let panels: Vec<Vec<(String, String)>> = self.panels.iter().map(GeomPanel::lines).collect();
        let shared = |wanted: &(String, String)| panels.iter().all(|lines| lines.contains(wanted));
        for (key, value) in panels
            .iter()
            .flatten()
            .take(panels.first().map_or(0, Vec::len))
        {
            if shared(&(key.clone(), value.clone())) {
                line("", key, value);
            }
        }
        for (panel, lines) in self.panels.iter().zip(&panels) {
            let prefix = format!("{}/", panel.name);
            line(&format!("\n{prefix}"), "min_fs", &panel.min_fs.to_string());
            line(&prefix, "max_fs", &panel.max_fs.to_string());
            line(&prefix, "min_ss", &panel.min_ss.to_string());
            line(&prefix, "max_ss", &panel.max_ss.to_string());
            line(&prefix, "fs", &direction(panel.fs));
            line(&prefix, "ss", &direction(panel.ss));
            line(&prefix, "corner_x", &number(panel.corner_x, 6));
            line(&prefix, "corner_y", &number(panel.corner_y, 6));
            for (key, value) in lines {
                if !shared(&(key.clone(), value.clone())) {
                    line(&prefix, key, value);
                }
            }
        }
        for region in &self.regions {
            let prefix = format!("{}/", region.name);
            let names = ["min_fs", "max_fs", "min_ss", "max_ss"];
            let lab = ["min_x", "max_x", "min_y", "max_y"];
            let limits = names.iter().zip(region.fs_ss);
            for (key, limit) in limits.chain(lab.iter().zip(region.x_y)) {
                if let Some(limit) = limit {
                    line(&prefix, key, &number(limit, 6));
                }
            }
            if let Some(panel) = &region.panel {
                line(&prefix, "panel", panel);
            }
        }
        out
    }
}

impl GeomPanel {
    /// Keys and values that panels often share, in the order in which they are written.
    fn lines(&self) -> Vec<(String, String)> {
        let mut lines: Vec<(String, String)> = Vec::new();
        let mut put = |key: &str, value: String| lines.push((key.to_owned(), value));
        if let Some(clen) = &self.clen {
            put("clen", written(clen));
        }
        put("res", number(self.res, 5));
        if self.coffset_m.abs() > 1e-9 {
            put("coffset", number(self.coffset_m, 9));
        }
        for (key, value) in &self.other {
            put(key, value.clone());
        }
        if let Some(most) = self.max_adu {
            put("max_adu", most.to_string());
        }
        for flag in &self.flags {
            match flag {
                Flag::LessThan(value) => put("flag_lessthan", value.to_string()),
                Flag::MoreThan(value) => put("flag_morethan", value.to_string()),
                Flag::Equal(value) => put("flag_equal", value.to_string()),
            }
        }
        if self.mask_edge_pixels > 0 {
            put("mask_edge_pixels", self.mask_edge_pixels.to_string());
        }
        if self.no_index {
            put("no_index", "1".to_owned());
        }
        if let Some(data) = &self.data {
            put("data", data.clone());
        }
        for (axis, meaning) in &self.axes {
            let value = match meaning {
                Axis::Frames => "%".to_owned(),
                Axis::Slow => "ss".to_owned(),
                Axis::Fast => "fs".to_owned(),
                Axis::Fixed(at) => at.to_string(),
            };
            put(&format!("dim{axis}"), value);
        }
        for (place, mask) in &self.masks {
            put(&format!("mask{place}_data"), mask.data.clone());
            if let Some(file) = &mask.file {
                put(&format!("mask{place}_file"), file.clone());
            }
            put(
                &format!("mask{place}_goodbits"),
                format!("0x{:04x}", mask.good_bits),
            );
            put(
                &format!("mask{place}_badbits"),
                format!("0x{:04x}", mask.bad_bits),
            );
        }
        lines
    }
}

fn written(quantity: &Quantity) -> String {
    let (value, unit) = match quantity {
        Quantity::Number(value, unit) => (number(*value, 7), unit),
        Quantity::Path(path, unit) => (path.clone(), unit),
    };
    format!("{value} {unit}").trim_end().to_owned()
}

/// So many decimals at most, and no zeros at the end; numbers that this would rob of digits are written whole.
fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let is_close = text
        .parse()
        .is_ok_and(|read: f64| (read - value).abs() <= 1e-7 * value.abs().max(1e-2));
    if !is_close {
        return value.to_string();
    }
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn direction(v: [f64; 3]) -> String {
    let mut text = String::new();
    for (n, axis) in v.iter().zip(["x", "y", "z"]) {
        if *n != 0.0 {
            let space = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{space}{n:+.9}{axis}");
        }
    }
    text
}
