//! CXI files as Cheetah, psocake, LUTE, EXtra-data and this program write them.

use super::super::h5::Facts;
use super::super::number::Codes;
use super::{MaskMeaning, Plan, codes_of, detector, geometry, is_frames};

pub const DATA: [&str; 4] = [
    "/entry_1/data_1/data",
    "/entry_1/instrument_1/detector_1/data",
    "/entry_1/image_1/data",
    "/entry_1/instrument_1/detector_1/detector_corrected/data",
];
const MASKS: [&str; 4] = [
    "/entry_1/data_1/mask",
    "/entry_1/instrument_1/detector_1/mask",
    "/entry_1/instrument_1/detector_1/mask_shared",
    "/entry_1/image_1/mask",
];

/// A plan when the file has frames where CXI files have them.
pub fn plan(facts: &Facts) -> Option<Plan> {
    let path = DATA
        .into_iter()
        .find(|path| facts.sets.get(*path).is_some_and(is_frames))?;
    let set = facts.sets.get(path)?;
    let (frames, height, width) = set.frame_shape()?;
    let mut plan = Plan::new("CXI", vec![path.to_owned()]);
    let fits = |path: &str| {
        facts
            .sets
            .get(path)
            .and_then(|mask| mask.frame_shape())
            .is_some_and(|(n, h, w)| (h, w) == (height, width) && (n == 1 || n == frames))
    };
    let is_euxfel = facts
        .sets
        .contains_key("/entry_1/instrument_1/detector_1/module_identifier");
    let meaning = if is_euxfel {
        MaskMeaning::EuXfel
    } else {
        MaskMeaning::Cxi
    };
    plan.mask = MASKS
        .into_iter()
        .find(|path| fits(path))
        .map(|path| (path.to_owned(), meaning))
        .or_else(|| fits("/valid").then(|| ("/valid".to_owned(), MaskMeaning::Valid)));
    // A mask of the file's own says what is bad; without one, counting detectors say it in the pixels.
    plan.codes = if plan.mask.is_some() {
        Codes::None
    } else {
        codes_of(set)
    };
    plan.geometry = geometry(facts);
    plan.detector = detector(facts);
    Some(plan)
}
