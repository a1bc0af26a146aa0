//! Files of the European XFEL, one detector module each (European-XFEL/EXtra-data: docs/data_files.rst, components.py).

use super::super::h5::{Facts, SetFacts};
use super::super::number::{Codes, Kind};
use super::{MaskMeaning, Plan, is_frames};

/// Which module the frames of a file are, and where their numbers stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    pub detector: String,
    /// From 0.
    pub index: usize,
    /// Data sets of train numbers, and of pulse or cell numbers where there are any.
    pub trains: String,
    pub pulses: Option<String>,
}

/// A plan when the file has the frames of a module where the facility writes them.
pub fn plan(facts: &Facts) -> Option<Plan> {
    let endings = ["/image/data", "/data/adc", "/image/adc"];
    let is_module = |path: &str, set: &SetFacts| {
        path.starts_with("/INSTRUMENT/")
            && endings.iter().any(|ending| path.ends_with(ending))
            && is_frames(set)
    };
    // Corrected data of newer files lie under CORR beside nothing else.
    let (path, set) = facts
        .sets
        .iter()
        .filter(|(path, set)| is_module(path, set))
        .min_by_key(|(path, _)| !path.contains("/CORR/"))?;
    let group = path.rsplit_once('/')?.0;
    let mut words = path.split('/').skip(2);
    let (detector, source) = (words.next()?, words.nth(1)?);
    let mut plan = Plan::new("EuXFEL module", vec![path.clone()]);
    plan.detector = Some(detector.to_owned());
    plan.codes = Codes::None;
    let is_raw = set
        .number
        .is_some_and(|number| number.kind == Kind::Unsigned);
    match set.shape.as_slice() {
        // Counts and gain one above the other.
        [_, 2, _, _] if path.ends_with("/image/data") && is_raw => {
            plan.slices = 2;
            plan.every = 2;
        }
        // The memory cells of a train.
        [_, cells, _, _] => plan.slices = *cells,
        _ => {}
    }
    if is_raw {
        plan.notices.push(
            "these are raw readings of the European XFEL, in which nothing can be found; give the corrected files (CORR)".to_owned(),
        );
    }
    let mask = format!("{group}/mask");
    let has_mask = facts
        .sets
        .get(&mask)
        .is_some_and(|mask| mask.shape == set.shape);
    plan.mask = has_mask.then_some((mask, MaskMeaning::EuXfel));
    let sibling = |name: &str| {
        let path = format!("{group}/{name}");
        facts.sets.contains_key(&path).then_some(path)
    };
    if let (Some(index), Some(trains)) = (index_of(source), sibling("trainId")) {
        plan.module = Some(Module {
            detector: detector.to_owned(),
            index,
            trains,
            pulses: sibling("pulseId")
                .or_else(|| sibling("cellId"))
                .or_else(|| sibling("memoryCell")),
        });
    }
    Some(plan)
}

/// The number of a module by the name of its source: `5CH0:xtdf` counts from 0, `JNGFR05:daqOutput` from 1.
fn index_of(source: &str) -> Option<usize> {
    let name = source.split(':').next()?;
    if let Some((index, _)) = name.split_once("CH") {
        return index.parse().ok().filter(|index| *index < 256);
    }
    let digits = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let index: usize = name.get(digits..)?.parse().ok()?;
    index.checked_sub(1).filter(|index| *index < 256)
}
