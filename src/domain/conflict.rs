//! Where the labels of two curators, merged into one project, differ: what waits for a decision, and what has had one.

use std::sync::Arc;

use super::components::components;
use super::frame::Frame;
use super::grid::{Grid, Pixel, PixelRect};
use super::labels::{Class, Edit, Sheet};
use super::peaks::background;
use super::queue::{Candidate, Origin, crop};

/// Labels so near a conflict, pixels, say how much of it is only a border.
const NEAR: usize = 2;

/// The class codes of a candidate's pixels, in raster order, as two curators have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub mine: Vec<u8>,
    pub theirs: Vec<u8>,
}

impl Conflict {
    /// The class that most of the pixels have in one of the two; `None` where none of them is a class.
    pub fn main_class(codes: &[u8]) -> Option<Class> {
        let count = |class: &Class| codes.iter().filter(|code| **code == class.code()).count();
        let known = Class::ALL.into_iter().filter(|class| count(class) > 0);
        known.max_by_key(count)
    }
}

/// The conflicts of a frame's merges that nobody has decided since; `since` as [`History::since_merge`](super::labels::History::since_merge) has it.
pub fn open(frame: &Frame, sheet: &Sheet, since: &[Arc<Edit>]) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    let mut theirs = sheet.clone();
    let mut decided: Vec<PixelRect> = Vec::new();
    for edit in since.iter().rev() {
        if edit.is_merge() {
            let open = conflicts(frame, sheet, &theirs).unwrap_or_default();
            found.extend(open.into_iter().filter(|one| !decided.contains(&one.rect)));
        } else if edit.is_decision() {
            decided.push(edit.rect);
        }
        edit.revert(&mut theirs);
    }
    found
}

/// Where two curators' labels of a frame differ: 8-connected regions of differing pixels, each one decision.
///
/// Doubt and disagreement of a region are its pixels over these and the pixels near it on whose class, other than
/// background, both agree: 1 = only one of the two has anything there, less where they draw one border differently.
/// `None` when the three shapes differ.
fn conflicts(frame: &Frame, mine: &Sheet, theirs: &Sheet) -> Option<Vec<Candidate>> {
    if mine.rect() != theirs.rect() || frame.pixels.rect() != mine.rect() {
        return None;
    }
    let cells = mine.cells().iter().zip(theirs.cells());
    let differing = cells.map(|(a, b)| u8::from(a != b)).collect();
    let differing: Grid<u8> = Grid::from_cells(mine.width(), mine.height(), differing)?;
    let found = components(&differing, 1).into_iter().map(|region| {
        let codes = |sheet: &Sheet| -> Vec<u8> {
            let code = |at: Pixel| sheet.get(at.x, at.y).copied().unwrap_or(0);
            region.pixels().map(code).collect()
        };
        let conflict = Conflict {
            mine: codes(mine),
            theirs: codes(theirs),
        };
        let near = background::grown(region.rect, NEAR, &mine.rect());
        let near = (near.y0..near.y1).flat_map(|y| (near.x0..near.x1).map(move |x| (x, y)));
        let agreed = near.filter(|&(x, y)| {
            let code = mine.get(x, y);
            code == theirs.get(x, y) && code != Some(&Class::Background.code())
        });
        let part = region.count as f32 / (region.count + agreed.count()) as f32;
        let brightest = region.pixels().max_by(|a, b| {
            let value = |at: &Pixel| match frame.pixels.get(at.x, at.y) {
                Some(value) if frame.is_valid(at.x, at.y) => *value,
                _ => f32::NEG_INFINITY,
            };
            value(a).total_cmp(&value(b))
        });
        let at = brightest.unwrap_or(Pixel {
            x: region.rect.x0,
            y: region.rect.y0,
        });
        let main = |codes: &[u8]| Conflict::main_class(codes).filter(|c| *c != Class::Background);
        Candidate {
            frame: frame.number,
            class: main(&conflict.theirs)
                .or(main(&conflict.mine))
                .unwrap_or(Class::Ignore),
            origin: Origin::Curators,
            spans: region.spans.clone(),
            rect: region.rect,
            at,
            doubt: part,
            disagreement: Some(part),
            crop: crop(frame, at),
            conflict: Some(conflict),
        }
    });
    Some(found.collect())
}
