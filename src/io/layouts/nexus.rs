//! NXmx and its relatives: Eiger master files, their data files, other NeXus detectors.

use super::super::h5::Facts;
use super::super::number::{Codes, Kind};
use super::{MaskMeaning, Plan, detector, geometry, is_frames, modules, saturation};

/// A plan when the file has a NeXus entry with frames in its data group.
pub fn plan(facts: &Facts) -> Option<Plan> {
    let group = data_group(facts)?;
    let frames = |path: &String| facts.sets.get(path).is_some_and(is_frames);
    // Numbered blocks of an Eiger master, in order; writers number with any count of digits.
    let prefix = format!("{group}/data_");
    let mut blocks: Vec<(u64, String)> = facts
        .sets
        .keys()
        .filter_map(|path| {
            let number = path.strip_prefix(&prefix)?.parse().ok()?;
            Some((number, path.clone()))
        })
        .filter(|(_, path)| frames(path))
        .collect();
    blocks.sort();
    let signal = facts
        .attribute(&group, "signal")
        .and_then(|value| value.text())
        .map(|name| format!("{group}/{name}"));
    let whole = [Some(format!("{group}/data")), signal]
        .into_iter()
        .flatten()
        .find(frames);
    let data = match whole {
        Some(path) => vec![path],
        None => blocks.into_iter().map(|(_, path)| path).collect(),
    };
    let first = facts.sets.get(data.first()?)?;
    let (_, height, width) = first.frame_shape()?;
    let mut plan = Plan::new("NXmx", data);
    plan.codes = match first.number.map(|number| number.kind) {
        Some(Kind::Float) | None => Codes::None,
        Some(_) => Codes::Counting,
    };
    plan.mask = facts
        .sets
        .iter()
        .find(|(path, set)| {
            path.ends_with("/pixel_mask")
                && set
                    .frame_shape()
                    .is_some_and(|(_, h, w)| (h, w) == (height, width))
        })
        .map(|(path, _)| (path.clone(), MaskMeaning::Nexus));
    plan.saturation = saturation(facts);
    plan.geometry = geometry(facts);
    let block = match first.shape.as_slice() {
        [_, block @ ..] if block.len() > 1 => block,
        flat => flat,
    };
    let panels = modules::panels(facts, block);
    if !panels.is_empty() {
        let stated = plan.geometry.beam_center_px;
        plan.geometry.panels = panels;
        plan.geometry.summarise();
        if let (Some([x, y]), Some([sx, sy])) = (plan.geometry.beam_center_px, stated)
            && (x - sx).hypot(y - sy) > 1.0
        {
            plan.notices.push(format!(
                "the file's transformations put the beam at {:.1}, {:.1} px, its beam_center fields at {:.1}, {:.1}; the \
                 transformations are used",
                x - 0.5, y - 0.5, sx - 0.5, sy - 0.5
            ));
        }
    }
    plan.detector = detector(facts);
    Some(plan)
}

/// The group that holds the frames: `/entry/data`, or the first NXdata group with frames.
fn data_group(facts: &Facts) -> Option<String> {
    let holds = |group: &str| {
        let prefix = format!("{group}/");
        facts
            .sets
            .range(prefix.clone()..)
            .take_while(|(path, _)| path.starts_with(&prefix))
            .any(|(_, set)| is_frames(set))
    };
    if holds("/entry/data") {
        return Some("/entry/data".to_owned());
    }
    facts
        .groups
        .iter()
        .filter(|(_, attributes)| {
            attributes.get("NX_class").and_then(|class| class.text()) == Some("NXdata")
        })
        .map(|(group, _)| group.clone())
        .find(|group| holds(group))
}
