//! Hysteresis: a component may be as wide as the most probable class says, but must somewhere be surely a peak.

use crate::domain::components::{Component, components};
use crate::domain::grid::{Grid, Pixel, PixelRect};
use crate::domain::labels::{Class, Sheet};

/// Half the edge of the surroundings in which artifact is looked for, pixels.
const REACH: usize = 37;
/// Share of the surroundings from which on a peak lies amid artifacts.
const SHARE: f32 = 0.06;

/// How sure a peak must be somewhere, as a probability from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Confidence {
    pub anywhere: f32,
    /// Where artifacts are around it: a grain of a ring that was not marked is likelier there than a spot.
    pub amid_artifact: f32,
}

impl Confidence {
    /// What is asked of a peak with such a share of artifact around it: a ramp between the two.
    fn asked(self, share: f32) -> f32 {
        let part = (share / SHARE).min(1.0);
        self.anywhere + (self.amid_artifact - self.anywhere).max(0.0) * part
    }
}

/// Gives up every component of class peak none of whose pixels reaches the probability that is asked of it (J. Canny, IEEE PAMI
/// 8, 679, 1986: hysteresis thresholding).
///
/// `peak` and `artifact` are probabilities times 255 and have the shape of `classes`. The share of artifact is that of 75 x 75
/// pixels about the surest one, before anything is given up. The pixels become artifact or background, whichever has more
/// probability over the component. Does nothing when the shapes differ.
pub fn give_up_unsure(
    classes: &mut Sheet,
    peak: &Grid<u8>,
    artifact: &Grid<u8>,
    confidence: Confidence,
) {
    if peak.rect() != classes.rect() || artifact.rect() != classes.rect() {
        return;
    }
    let all = components(classes, Class::Peak.code());
    let verdicts: Vec<Option<Class>> = all
        .iter()
        .map(|component| verdict(component, classes, peak, artifact, confidence))
        .collect();
    for (component, verdict) in all.iter().zip(verdicts) {
        let Some(class) = verdict else { continue };
        for pixel in component.pixels() {
            if let Some(cell) = classes.get_mut(pixel.x, pixel.y) {
                *cell = class.code();
            }
        }
    }
}

/// What an unsure component is instead; `None` for a sure one.
fn verdict(
    component: &Component,
    classes: &Sheet,
    peak: &Grid<u8>,
    artifact: &Grid<u8>,
    confidence: Confidence,
) -> Option<Class> {
    let (mut most, mut surest, mut of_artifact, mut of_background) = (0_u8, None, 0_u64, 0_u64);
    for pixel in component.pixels() {
        let at = |grid: &Grid<u8>| grid.get(pixel.x, pixel.y).copied().unwrap_or(0);
        let (p, a) = (at(peak), at(artifact));
        if surest.is_none() || p > most {
            (most, surest) = (p, Some(pixel));
        }
        of_artifact += u64::from(a);
        of_background += u64::from(u8::MAX.saturating_sub(p).saturating_sub(a));
    }
    let is_sure = |share: f32| f32::from(most) >= confidence.asked(share) * 255.0;
    // Most are sure enough wherever they are, or nowhere.
    let around = || surest.map_or(0.0, |at| artifact_around(classes, at));
    if is_sure(1.0) || (is_sure(0.0) && is_sure(around())) {
        return None;
    }
    Some(if of_artifact > of_background {
        Class::Artifact
    } else {
        Class::Background
    })
}

/// The share of class artifact in the surroundings of a pixel.
fn artifact_around(classes: &Sheet, at: Pixel) -> f32 {
    let around = PixelRect::new(
        at.x.saturating_sub(REACH),
        at.y.saturating_sub(REACH),
        at.x + REACH + 1,
        at.y + REACH + 1,
    )
    .intersect(&classes.rect());
    let code = Class::Artifact.code();
    let marked: usize = (around.y0..around.y1)
        .filter_map(|y| classes.row(y).get(around.x0..around.x1))
        .map(|cells| cells.iter().filter(|cell| **cell == code).count())
        .sum();
    marked as f32 / around.area().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One sure pixel keeps all of its component; others take the class that has more of them.
    #[test]
    fn one_sure_pixel_keeps_a_component() {
        let rows = ["11.11.11", "1...1..."];
        let mut classes = Sheet::from_fn(8, 2, |x, y| u8::from(rows[y].as_bytes()[x] == b'1'));
        let mut peak = Grid::filled(8, 2, 130_u8);
        let mut artifact = Grid::filled(8, 2, 10_u8);
        *peak.get_mut(0, 1).unwrap() = 204;
        for x in 3..5 {
            *artifact.get_mut(x, 0).unwrap() = 120;
        }
        *artifact.get_mut(4, 1).unwrap() = 120;
        let sure = Confidence {
            anywhere: 0.8,
            amid_artifact: 0.8,
        };
        give_up_unsure(&mut classes, &peak, &artifact, sure);
        assert_eq!(classes.row(0), [1, 1, 0, 2, 2, 0, 0, 0]);
        assert_eq!(classes.row(1), [1, 0, 0, 0, 2, 0, 0, 0]);
    }
    /// The same spot alone, near a little artifact and near much of it: the more there is, the surer it must be.
    #[test]
    fn amid_artifacts_more_is_asked() {
        let confidence = Confidence {
            anywhere: 0.0,
            amid_artifact: 0.8,
        };
        for (width, sureness, stays) in [
            (0, 20, true),
            // Two of 75 columns: 44 % of 0.8.
            (2, 92, true),
            (2, 89, false),
            (6, 180, false),
            (6, 210, true),
        ] {
            let mut classes = Sheet::from_fn(120, 120, |x, y| match (x, y) {
                (60, 60) => 1,
                _ if x >= 70 && x < 70 + width => 2,
                _ => 0,
            });
            let peak = Grid::from_fn(
                120,
                120,
                |x, y| if (x, y) == (60, 60) { sureness } else { 0 },
            );
            let artifact = Grid::filled(120, 120, 0);
            give_up_unsure(&mut classes, &peak, &artifact, confidence);
            assert_eq!(
                classes.get(60, 60) == Some(&1),
                stays,
                "{width} columns, {sureness}"
            );
        }
    }
}
