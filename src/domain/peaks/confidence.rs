//! Hysteresis: a component may be as wide as the most probable class says, but must somewhere be surely a peak.

use super::circles::Circles;
use crate::domain::components::{Component, components};
use crate::domain::grid::{Grid, Pixel, PixelRect};
use crate::domain::labels::{Class, Sheet};

/// Half the edge of the surroundings in which artifact is looked for, pixels.
const REACH: usize = 37;
/// Share of the surroundings from which on a peak lies amid artifacts.
const SHARE: f32 = 0.06;
/// As probability: a peak so sure stays though it lies on a ring.
const SURE: f32 = 0.85;

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
/// probability over the component. With the circles about the beam, components that are grains of a ring ([`Circles::grains`])
/// become artifact unless they are surer than 0.85. Does nothing when the shapes differ.
pub fn give_up_unsure(
    classes: &mut Sheet,
    peak: &Grid<u8>,
    artifact: &Grid<u8>,
    confidence: Confidence,
    circles: Option<&Circles>,
) {
    if peak.rect() != classes.rect() || artifact.rect() != classes.rect() {
        return;
    }
    if circles.is_none() && confidence == Confidence::default() {
        return;
    }
    let all = components(classes, Class::Peak.code());
    let sureness: Vec<Sureness> = all
        .iter()
        .map(|component| Sureness::of(component, peak, artifact))
        .collect();
    let surest: Vec<Pixel> = sureness.iter().map(|of| of.surest).collect();
    let grains = circles.and_then(|circles| circles.grains(classes, &surest));
    let grains = grains.unwrap_or_default();
    let verdicts: Vec<Option<Class>> = sureness
        .iter()
        .enumerate()
        .map(|(index, of)| {
            let is_grain = grains.get(index) == Some(&true) && of.is_less_than(SURE);
            if is_grain {
                return Some(Class::Artifact);
            }
            of.verdict(classes, confidence)
        })
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

/// What the net says of a component in all: how sure it is of it, and where.
struct Sureness {
    surest: Pixel,
    /// Probability of peak there, times 255.
    most: u8,
    /// Sums of the probabilities of the other classes.
    artifact: u64,
    background: u64,
}

impl Sureness {
    fn of(component: &Component, peak: &Grid<u8>, artifact: &Grid<u8>) -> Self {
        let mut sureness = Self {
            surest: Pixel { x: 0, y: 0 },
            most: 0,
            artifact: 0,
            background: 0,
        };
        for (index, pixel) in component.pixels().enumerate() {
            let at = |grid: &Grid<u8>| grid.get(pixel.x, pixel.y).copied().unwrap_or(0);
            let (p, a) = (at(peak), at(artifact));
            if index == 0 || p > sureness.most {
                (sureness.most, sureness.surest) = (p, pixel);
            }
            sureness.artifact += u64::from(a);
            sureness.background += u64::from(u8::MAX.saturating_sub(p).saturating_sub(a));
        }
        sureness
    }

    fn is_less_than(&self, probability: f32) -> bool {
        f32::from(self.most) < probability * 255.0
    }

    /// What an unsure component is instead; `None` for a sure one.
    fn verdict(&self, classes: &Sheet, confidence: Confidence) -> Option<Class> {
        let is_sure = |share: f32| !self.is_less_than(confidence.asked(share));
        // Most are sure enough wherever they are, or nowhere.
        let around = || artifact_around(classes, self.surest);
        if is_sure(1.0) || (is_sure(0.0) && is_sure(around())) {
            return None;
        }
        Some(if self.artifact > self.background {
            Class::Artifact
        } else {
            Class::Background
        })
    }
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
        give_up_unsure(&mut classes, &peak, &artifact, sure, None);
        assert_eq!(classes.row(0), [1, 1, 0, 2, 2, 0, 0, 0]);
        assert_eq!(classes.row(1), [1, 0, 0, 0, 2, 0, 0, 0]);
    }
    /// Eight grains on one circle about the beam and as many spots elsewhere: only the surest grain stays a peak.
    #[test]
    fn grains_of_a_ring_are_given_up() {
        let circles = Circles::from_distances(Grid::from_fn(100, 100, |x, y| {
            (x as f32).hypot(y as f32).round() as u16
        }));
        let mut peak = Grid::filled(100, 100, 0_u8);
        let mut classes = Sheet::filled(100, 100, 0);
        let mut put = |x: usize, y: usize, sureness: u8| {
            *classes.get_mut(x, y).unwrap() = Class::Peak.code();
            *peak.get_mut(x, y).unwrap() = sureness;
        };
        let grains: Vec<_> = (1..9)
            .map(|i| (0.18 * f64::from(i)).sin_cos())
            .map(|(sin, cos)| ((60.0 * cos).round() as usize, (60.0 * sin).round() as usize))
            .collect();
        for (index, (x, y)) in grains.iter().enumerate() {
            put(*x, *y, if index == 3 { 230 } else { 140 });
            put(6 * index + 2, 4, 140);
        }
        let before = classes.clone();
        let blank = Grid::filled(100, 100, 0);
        give_up_unsure(&mut classes, &peak, &blank, Confidence::default(), None);
        assert_eq!(classes, before);
        give_up_unsure(
            &mut classes,
            &peak,
            &blank,
            Confidence::default(),
            Some(&circles),
        );
        for (index, (x, y)) in grains.iter().enumerate() {
            let class = if index == 3 {
                Class::Peak
            } else {
                Class::Artifact
            };
            assert_eq!(classes.get(*x, *y), Some(&class.code()));
            assert_eq!(classes.get(6 * index + 2, 4), Some(&Class::Peak.code()));
        }
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
            give_up_unsure(&mut classes, &peak, &artifact, confidence, None);
            assert_eq!(
                classes.get(60, 60) == Some(&1),
                stays,
                "{width} columns, {sureness}"
            );
        }
    }
}
