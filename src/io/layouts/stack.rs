//! Any other HDF5 file: the data set that the user names, or the largest one that can be frames.

use super::super::Error;
use super::super::h5::Facts;
use super::{MaskMeaning, Plan, codes_of, detector, geometry, is_about_pixels, is_frames};

/// The data set that was asked for, by its whole path or, where only one fits, the end of it.
pub fn asked(facts: &Facts, asked: &str) -> Result<Plan, Error> {
    let absolute = if asked.starts_with('/') {
        asked.to_owned()
    } else {
        format!("/{asked}")
    };
    let found = if facts.sets.contains_key(&absolute) {
        Some(absolute.clone())
    } else {
        let mut ends = facts.sets.keys().filter(|path| path.ends_with(&absolute));
        ends.next().filter(|_| ends.next().is_none()).cloned()
    };
    let Some(path) = found else {
        return Err(Error::new(
            format!("no data set {asked:?}; {}", candidates(facts)),
            &facts.path,
        ));
    };
    Ok(plan_of(facts, path))
}

/// The largest data set that can be frames.
pub fn largest(facts: &Facts) -> Result<Plan, Error> {
    let largest = facts
        .sets
        .iter()
        .filter(|(path, set)| is_frames(set) && !is_about_pixels(path))
        // Of equally large ones the first by name.
        .rev()
        .max_by_key(|(_, set)| set.shape.iter().product::<usize>());
    let Some((path, _)) = largest else {
        if let Some(set) = facts.unreadable.first() {
            return Err(Error::new(super::unreadable(set), &facts.path));
        }
        return Err(Error::new(
            format!(
                "no 2-D or 3-D data set of numbers in this HDF5 file; {}",
                candidates(facts)
            ),
            &facts.path,
        ));
    };
    // Tables have two axes as well; who knows better names the data set.
    let shape = facts.sets.get(path).and_then(|set| set.frame_shape());
    if let Some((_, height, width)) = shape.filter(|(_, h, w)| (*h).min(*w) < 16) {
        return Err(Error::new(
            format!(
                "the largest data set of this HDF5 file is {path} of {width} x {height} numbers, which is no detector frame; \
                 give the frames, or name it with --dataset if it is one"
            ),
            &facts.path,
        ));
    }
    let mut plan = plan_of(facts, path.clone());
    plan.geometry = geometry(facts);
    plan.detector = detector(facts);
    let others = facts.sets.iter();
    let others = others.filter(|(path, set)| is_frames(set) && !is_about_pixels(path));
    let others = others.count() - 1;
    if others > 0 && plan.mask.is_none() {
        plan.notices.push(format!(
            "the layout is not known, so the largest data set {path} was taken; --dataset names another"
        ));
    }
    Ok(plan)
}

fn plan_of(facts: &Facts, path: String) -> Plan {
    let codes = facts.sets.get(&path).map(codes_of).unwrap_or_default();
    let shape = |path: &str| facts.sets.get(path).map(|set| set.shape.clone());
    let mut plan = Plan::new("HDF5 stack", vec![path]);
    plan.codes = codes;
    // A training set of this program, or a simulated run.
    let is_set = plan
        .data
        .first()
        .is_some_and(|data| shape(data).is_some_and(|s| Some(s) == shape("/valid")));
    if is_set {
        plan.codes = super::Codes::None;
        plan.mask = Some(("/valid".to_owned(), MaskMeaning::Valid));
    }
    plan
}

/// What the user could have named.
fn candidates(facts: &Facts) -> String {
    let names: Vec<&str> = facts
        .sets
        .iter()
        .filter(|(_, set)| is_frames(set))
        .map(|(path, _)| path.as_str())
        .take(4)
        .collect();
    if names.is_empty() {
        match facts.dangling.first() {
            Some((path, target)) => {
                format!(
                    "its link {path} leads to {target}, which is missing; put that file beside it"
                )
            }
            None => "give a file of detector frames".to_owned(),
        }
    } else {
        format!(
            "name one with --dataset, for instance {}",
            names.join(" or ")
        )
    }
}
