//! Where the modules of a NeXus detector are, from their chains of transformations.
//!
//! NXdetector_module and NXtransformations. The laboratory of NeXus is McStas': z along the beam, y up, which is CrystFEL's
//! too. The end of a chain is the outer corner of the module's first pixel, as dxtbx takes it (dxtbx/nexus, get_dxtbx_detector).

use std::f64::consts::PI;

use super::super::axes::{Axis, Motion};
use super::super::h5::{Facts, SetFacts, Value};
use super::metres;
use crate::domain::geometry::Panel;
use crate::domain::grid::PixelRect;

/// A chain longer than this leads back to itself.
const LONGEST: usize = 64;

/// The modules that the file places, in the slab of frames of this height; none where one of them is not placed.
///
/// `block` is the shape of one frame in the file, slow axes first.
pub fn panels(facts: &Facts, block: &[usize]) -> Vec<Panel> {
    let groups = facts
        .sets
        .keys()
        .filter_map(|path| path.strip_suffix("/fast_pixel_direction"));
    let panels: Option<Vec<Panel>> = groups.map(|group| panel(facts, group, block)).collect();
    panels.unwrap_or_default()
}

fn panel(facts: &Facts, group: &str, block: &[usize]) -> Option<Panel> {
    let set = |name: &str| facts.sets.get(&format!("{group}/{name}"));
    let cells = |name: &str| -> Option<Vec<usize>> {
        match &set(name)?.value {
            Value::Numbers(values) => Some(values.iter().map(|value| *value as usize).collect()),
            _ => None,
        }
    };
    let (fast, slow) = (set("fast_pixel_direction")?, set("slow_pixel_direction")?);
    let (origin, size) = (cells("data_origin")?, cells("data_size")?);
    let ([.., y, x], [.., height, width]) = (origin.as_slice(), size.as_slice()) else {
        return None;
    };
    // Further axes in front count modules, which the slab has one above the other.
    let rows = block.iter().rev().nth(1).copied().unwrap_or(0);
    let above = origin.iter().rev().nth(2).copied().unwrap_or(0);
    let y0 = above.checked_mul(rows)?.checked_add(*y)?;
    let rect = PixelRect::new(*x, y0, x.checked_add(*width)?, y0.checked_add(*height)?);
    let columns = block.last().copied().unwrap_or(0);
    let height = block
        .iter()
        .rev()
        .skip(1)
        .try_fold(1_usize, |all, n| all.checked_mul(*n))?;
    if rect.is_empty() || rect.x1 > columns || rect.y1 > height {
        return None; // not of these frames
    }
    let chain = chain(facts, group, fast)?;
    let place = |p: [f64; 3]| chain.iter().fold(p, |p, axis| axis.carry(p));
    let corner = place([0.0; 3]);
    let step = |direction: &SetFacts| {
        let length = metres(direction, 1.0).filter(|length| *length > 0.0)?;
        let vector = three(direction, "vector")?;
        let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
        let to = place(vector.map(|v| v / norm * length));
        let step = [0, 1, 2].map(|i| to[i] - corner[i]);
        step.iter().all(|v| v.is_finite()).then_some(step)
    };
    // A detector in the sample is one whose distance was never written.
    let is_placed = corner.iter().all(|v| v.is_finite()) && corner[2].abs() > 1e-6;
    is_placed.then_some(Panel {
        name: group.rsplit('/').next().unwrap_or(group).to_owned(),
        rect,
        corner_m: corner,
        fast_m: step(fast)?,
        slow_m: step(slow)?,
    })
}

/// The axes that a module depends on, nearest first.
fn chain(facts: &Facts, group: &str, first: &SetFacts) -> Option<Vec<Axis>> {
    let mut axes = Vec::new();
    let mut group = group.to_owned();
    let mut next = depends_on(first);
    while let Some(path) = next {
        if axes.len() >= LONGEST {
            return None;
        }
        let path = absolute(&group, &path);
        let set = facts.sets.get(&path)?;
        axes.push(axis(set)?);
        group = path.rsplit_once('/')?.0.to_owned();
        next = depends_on(set);
    }
    (!axes.is_empty()).then_some(axes)
}

fn depends_on(set: &SetFacts) -> Option<String> {
    let path = set.attributes.get("depends_on")?.text()?;
    (path != "." && !path.is_empty()).then(|| path.to_owned())
}

/// A path as written, from the group where it stands.
fn absolute(group: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let mut words: Vec<&str> = group.split('/').collect();
    for word in path.split('/') {
        match word {
            "." => {}
            ".." => {
                words.pop();
            }
            word => words.push(word),
        }
    }
    words.join("/")
}

fn axis(set: &SetFacts) -> Option<Axis> {
    let unit = |name: &str| set.attributes.get(name).and_then(|unit| unit.text());
    let motion = match unit("transformation_type") {
        Some("rotation") => {
            let angle = set.value.number()?;
            let is_radians = matches!(unit("units"), Some("rad" | "radian" | "radians"));
            Motion::Rotation(if is_radians {
                angle
            } else {
                angle * PI / 180.0
            })
        }
        Some("translation") => Motion::Translation(metres(set, 1.0)?),
        _ => Motion::None,
    };
    let offset = three(set, "offset").unwrap_or([0.0; 3]);
    let scale = match unit("offset_units") {
        Some("mm") => 1e-3,
        Some("cm") => 1e-2,
        Some("um") => 1e-6,
        _ => 1.0,
    };
    Some(Axis {
        motion,
        vector: three(set, "vector").or((motion == Motion::None).then_some([0.0; 3]))?,
        offset: offset.map(|v| v * scale),
    })
}

fn three(set: &SetFacts, name: &str) -> Option<[f64; 3]> {
    match set.attributes.get(name)? {
        Value::Numbers(values) => values.as_slice().try_into().ok(),
        _ => None,
    }
}
