//! Full imgCIF headers: where the sections of the arrays are in space, from the tables of axes.
//!
//! imgCIF dictionary 1.8.5 (iucr.org, cif_img.dic): an axis moves what depends on it by its setting and stands at its offset
//! in the frame of the axis that it depends on; all lengths are millimetres, angles degrees. The laboratory has x along
//! the goniometer and z towards the source, so that half a turn about y makes it CrystFEL's.

use std::collections::HashMap;

use super::super::axes::{Axis, Motion};
use crate::domain::geometry::Panel;
use crate::domain::grid::PixelRect;

/// Rows of a loop by the names of its items, without the category.
type Rows<'a> = Vec<HashMap<&'a str, &'a str>>;

/// All panels that the header places, in a slab where the arrays and their sections are stacked along the slow axis; empty
/// where it places none.
///
/// `height` is that of one section in rows, `depth` the sections of an array; arrays follow the order of `_diffrn_data_frame`.
pub fn panels(text: &str, height: usize, depth: usize) -> Vec<Panel> {
    let table = |category: &str| rows(text, category);
    let axes: HashMap<&str, HashMap<&str, &str>> = table("_axis")
        .into_iter()
        .filter_map(|row| Some((*row.get("id")?, row)))
        .collect();
    let settings: HashMap<&str, HashMap<&str, &str>> = table("_diffrn_scan_frame_axis")
        .into_iter()
        .filter_map(|row| Some((*row.get("axis_id")?, row)))
        .collect();
    let steps: HashMap<&str, HashMap<&str, &str>> = table("_array_structure_list_axis")
        .into_iter()
        .filter_map(|row| Some((*row.get("axis_set_id")?, row)))
        .collect();
    let order: Vec<&str> = table("_diffrn_data_frame")
        .iter()
        .filter_map(|row| row.get("array_id").copied())
        .collect();
    let limits = table("_array_structure_list_section");
    // cctbx, which writes the frames of LCLS, counts from the corner of the first pixel; the dictionary from its centre.
    let half = if text.contains("detector_asic") {
        0.0
    } else {
        0.5
    };
    let lists = table("_array_structure_list");
    let mut panels = Vec::new();
    for fast in &lists {
        let is_fast = fast.get("precedence") == Some(&"1");
        let (Some(array), Some(section)) = (
            fast.get("array_id"),
            fast.get("array_section_id").or(Some(&".")),
        ) else {
            continue;
        };
        let slow = lists.iter().find(|row| {
            row.get("array_id") == Some(array)
                && row.get("array_section_id").unwrap_or(&".") == section
                && row.get("precedence") == Some(&"2")
        });
        let (true, Some(slow)) = (is_fast, slow) else {
            continue;
        };
        let dimension = |row: &HashMap<&str, &str>| row.get("dimension")?.parse::<usize>().ok();
        let start = |index: &str| {
            let row = limits.iter().find(|row| {
                row.get("id") == Some(section)
                    && row.get("array_id") == Some(array)
                    && row.get("index") == Some(&index)
            });
            let start = row.and_then(|row| row.get("start")?.parse::<usize>().ok());
            start.unwrap_or(1).saturating_sub(1)
        };
        let place = order.iter().position(|id| id == array).unwrap_or(0);
        let at = |row: &HashMap<&str, &str>| {
            let set = steps.get(row.get("axis_set_id")?)?;
            let number = |key: &str| finite(set.get(key)?);
            Some((
                *set.get("axis_id")?,
                number("displacement").unwrap_or(0.0),
                number("displacement_increment")?,
            ))
        };
        let (Some(width), Some(rows), Some(fast_axis), Some(slow_axis)) =
            (dimension(fast), dimension(slow), at(fast), at(slow))
        else {
            continue;
        };
        let chain = Chain {
            axes: &axes,
            settings: &settings,
            moved: [(fast_axis.0, fast_axis.1), (slow_axis.0, slow_axis.1)],
        };
        let position = |u: f64, v: f64| {
            let moved = [
                (fast_axis.0, fast_axis.1 + (u - half) * fast_axis.2),
                (slow_axis.0, slow_axis.1 + (v - half) * slow_axis.2),
            ];
            Chain { moved, ..chain }.lab_m()
        };
        let (Some(corner), Some(right), Some(down)) =
            (position(0.0, 0.0), position(1.0, 0.0), position(0.0, 1.0))
        else {
            continue;
        };
        let x0 = start("1");
        let first = (place.checked_mul(depth)).and_then(|n| n.checked_add(start("3")));
        let y0 = first
            .and_then(|n| n.checked_mul(height))
            .and_then(|n| n.checked_add(start("2")));
        let Some((x1, y0, y1)) =
            y0.and_then(|y0| Some((x0.checked_add(width)?, y0, y0.checked_add(rows)?)))
        else {
            continue;
        };
        let name = if *section == "." { array } else { section };
        panels.push(Panel {
            name: (*name).to_owned(),
            rect: PixelRect::new(x0, y0, x1, y1),
            corner_m: corner,
            fast_m: [0, 1, 2].map(|i| right[i] - corner[i]),
            slow_m: [0, 1, 2].map(|i| down[i] - corner[i]),
        });
    }
    panels
}

/// The axes that a pixel hangs on.
#[derive(Clone, Copy)]
struct Chain<'a> {
    axes: &'a HashMap<&'a str, HashMap<&'a str, &'a str>>,
    settings: &'a HashMap<&'a str, HashMap<&'a str, &'a str>>,
    /// The axes of the array itself and where on them the pixel is, millimetres.
    moved: [(&'a str, f64); 2],
}

impl Chain<'_> {
    /// Where the pixel is, in CrystFEL's laboratory; `None` for chains that are cut or lead back to themselves.
    fn lab_m(&self) -> Option<[f64; 3]> {
        let mut p = [0.0; 3];
        let mut here = self.moved[0].0;
        let mut has_slow = false;
        for _ in 0..64 {
            if here == "." {
                // A slow axis that is not among those above would have been left out.
                let [x, y, z] = p.map(|mm| mm / 1e3);
                return has_slow.then_some([-x, y, -z]);
            }
            has_slow |= here == self.moved[1].0;
            let axis = self.axes.get(here)?;
            let vector = three(axis, "vector")?;
            let offset = three(axis, "offset").unwrap_or([0.0; 3]);
            let setting = |key: &str| finite(self.settings.get(here)?.get(key)?);
            let own = self.moved.iter().find(|(id, _)| *id == here);
            let motion = match axis.get("type") {
                Some(&"rotation") => Motion::Rotation(setting("angle").unwrap_or(0.0).to_radians()),
                Some(&"translation") => {
                    let own = own.map_or(0.0, |(_, mm)| *mm);
                    Motion::Translation(setting("displacement").unwrap_or(0.0) + own)
                }
                _ => Motion::None,
            };
            let axis_here = Axis {
                motion,
                vector,
                offset,
            };
            p = axis_here.carry(p);
            here = axis.get("depends_on").copied().unwrap_or(".");
        }
        None
    }
}

fn three(row: &HashMap<&str, &str>, name: &str) -> Option<[f64; 3]> {
    let mut out = [0.0; 3];
    for (i, out) in out.iter_mut().enumerate() {
        let text = row.get(format!("{name}[{}]", i + 1).as_str())?;
        *out = if *text == "." {
            0.0
        } else {
            text.parse().ok()?
        };
    }
    Some(out)
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// The rows of the loop whose items are all of one category; none where there is no such loop.
fn rows<'a>(text: &'a str, category: &str) -> Rows<'a> {
    let mut lines = text.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        if line != "loop_" {
            continue;
        }
        let mut names = Vec::new();
        while let Some(line) = lines.peek().filter(|line| line.starts_with('_')) {
            names.push(*line);
            lines.next();
        }
        let items: Option<Vec<&str>> = names
            .iter()
            .map(|name| name.strip_prefix(category)?.strip_prefix('.'))
            .collect();
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            continue;
        };
        // Words may be spread over lines; the loop ends where the next item, loop or block begins.
        let is_word = |line: &str| {
            !line.starts_with('_')
                && line != "loop_"
                && !line.starts_with("data_")
                && !line.starts_with(';')
        };
        let mut words = Vec::new();
        while let Some(line) = lines.peek().filter(|line| is_word(line)) {
            words.extend(
                line.split_whitespace()
                    .map(|word| word.trim_matches(['\'', '"'])),
            );
            lines.next();
        }
        let row = |words: &[&'a str]| items.iter().copied().zip(words.iter().copied()).collect();
        return words.chunks_exact(items.len()).map(row).collect();
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "
loop_
_axis.id
_axis.type
_axis.depends_on
_axis.vector[1]
_axis.vector[2]
_axis.vector[3]
_axis.offset[1]
_axis.offset[2]
_axis.offset[3]
";

    /// One array of two sections; worked out by hand: the corner of the first pixel lies half a pixel before its centre.
    #[test]
    fn sections_are_placed_by_their_axes() {
        let text = format!(
            "{HEADER} Z translation . 0 0 1 . . .
 'R' rotation Z 0 0 2 10 0 0
 S translation R 0 -1 0
   -2 1.5 0
 F translation S 1 0 0 0 0 0

loop_
_diffrn_scan_frame_axis.axis_id
_diffrn_scan_frame_axis.angle
_diffrn_scan_frame_axis.displacement
 Z 0 -100
 R 90 0

loop_
_array_structure_list_axis.axis_set_id
_array_structure_list_axis.axis_id
_array_structure_list_axis.displacement
_array_structure_list_axis.displacement_increment
 F F 0 1
 S S 0 1

loop_
_diffrn_data_frame.array_id
_diffrn_data_frame.binary_id
 OTHER 1
 A 2

loop_
_array_structure_list_section.array_id
_array_structure_list_section.id
_array_structure_list_section.index
_array_structure_list_section.start
_array_structure_list_section.end
 A A2 1 5 8
 A A2 2 1 3
 A A2 3 2 2

loop_
_array_structure_list.array_id
_array_structure_list.array_section_id
_array_structure_list.dimension
_array_structure_list.precedence
_array_structure_list.axis_set_id
 A . 8 1 .
 A A2 4 1 F
 A A2 3 2 S
"
        );
        let panels = panels(&text, 3, 2);
        let [panel] = &panels[..] else {
            panic!("{panels:?}")
        };
        // The second array's second section, its columns from the fifth on.
        assert_eq!(panel.rect, PixelRect::new(4, 9, 8, 12));
        assert_eq!(panel.name, "A2");
        let near = |found: [f64; 3], wanted: [f64; 3]| {
            let off = (0..3).map(|i| (found[i] - wanted[i]).abs());
            assert!(off.fold(0.0, f64::max) < 1e-12, "{found:?}, not {wanted:?}");
        };
        near(panel.corner_m, [-8e-3, -2.5e-3, 0.1]);
        near(panel.fast_m, [0.0, 1e-3, 0.0]);
        near(panel.slow_m, [-1e-3, 0.0, 0.0]);
    }

    #[test]
    fn circles_and_cut_chains_place_nothing() {
        let header = "loop_\n_axis.id\n_axis.depends_on\n F G\n G F\n";
        assert!(panels(header, 3, 1).is_empty() && panels("", 3, 1).is_empty());
    }
}
