//! Hysteresis: a component may be as wide as the most probable class says, but must somewhere be surely a peak.

use crate::domain::components::components;
use crate::domain::grid::Grid;
use crate::domain::labels::{Class, Sheet};

/// Gives up every component of class peak none of whose pixels reaches a probability of `least` (J. Canny, IEEE PAMI 8, 679,
/// 1986: hysteresis thresholding).
///
/// `peak` and `artifact` are probabilities times 255 and have the shape of `classes`. The pixels become artifact or background,
/// whichever has more probability over the component. Does nothing when the shapes differ.
pub fn give_up_unsure(classes: &mut Sheet, peak: &Grid<u8>, artifact: &Grid<u8>, least: f32) {
    if peak.rect() != classes.rect() || artifact.rect() != classes.rect() {
        return;
    }
    for component in components(classes, Class::Peak.code()) {
        let (mut most, mut of_artifact, mut of_background) = (0_u8, 0_u64, 0_u64);
        for pixel in component.pixels() {
            let at = |grid: &Grid<u8>| grid.get(pixel.x, pixel.y).copied().unwrap_or(0);
            let (p, a) = (at(peak), at(artifact));
            most = most.max(p);
            of_artifact += u64::from(a);
            of_background += u64::from(u8::MAX.saturating_sub(p).saturating_sub(a));
        }
        if f32::from(most) >= least * 255.0 {
            continue;
        }
        let class = if of_artifact > of_background {
            Class::Artifact
        } else {
            Class::Background
        };
        for pixel in component.pixels() {
            if let Some(cell) = classes.get_mut(pixel.x, pixel.y) {
                *cell = class.code();
            }
        }
    }
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
        give_up_unsure(&mut classes, &peak, &artifact, 0.8);
        assert_eq!(classes.row(0), [1, 1, 0, 2, 2, 0, 0, 0]);
        assert_eq!(classes.row(1), [1, 0, 0, 0, 2, 0, 0, 0]);
    }
}
