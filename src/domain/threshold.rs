//! The threshold brush: which pixels stand out of their surroundings, or lie in a range of values.

use std::collections::HashMap;

use super::frame::Frame;
use super::grid::{Pixel, PixelRect};
use super::labels::Sheet;
use super::labels_rule::LEAST_SIGMA;
use super::peaks::background::{Annulus, LocalBackground};

/// Which pixels a threshold brush paints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// So many sigmas above the local background, or more.
    Snr(f32),
    /// Values from `low` to `high`, both included, in the frame's units.
    Range { low: f32, high: f32 },
}

/// Local backgrounds, measured once for every tile of pixels that is asked for.
#[derive(Clone, Debug, Default)]
pub struct LocalLevels {
    tile: usize,
    known: HashMap<Pixel, LocalBackground>,
}

impl LocalLevels {
    /// For a brush of this diameter: larger ones take larger tiles, so that a dab stays within a picture's time.
    pub fn new(diameter_px: f32) -> Self {
        Self {
            tile: ((diameter_px / 8.0) as usize).clamp(8, 64),
            known: HashMap::new(),
        }
    }

    /// Whether the pixel is one that the threshold admits; invalid pixels never are.
    ///
    /// The background of a tile is that of the ring around it on the same panel, peaks of `classes` left out.
    pub fn admits(
        &mut self,
        threshold: Threshold,
        frame: &Frame,
        classes: &Sheet,
        panel: PixelRect,
        at: Pixel,
    ) -> bool {
        let Some(value) = frame.pixels.get(at.x, at.y).copied() else {
            return false;
        };
        if !frame.is_valid(at.x, at.y) {
            return false;
        }
        match threshold {
            Threshold::Range { low, high } => value >= low && value <= high,
            Threshold::Snr(least) => {
                let background = self.background(frame, classes, panel, at);
                let sigma = background.variance.sqrt().max(LEAST_SIGMA);
                background.pixels > 0 && value - background.level >= least * sigma
            }
        }
    }

    fn background(
        &mut self,
        frame: &Frame,
        classes: &Sheet,
        panel: PixelRect,
        at: Pixel,
    ) -> LocalBackground {
        let tile = self.tile.max(1);
        // Tiles begin at the panel's corner, so that each belongs to one panel.
        let x = at.x - (at.x.saturating_sub(panel.x0)) % tile;
        let y = at.y - (at.y.saturating_sub(panel.y0)) % tile;
        let rect = PixelRect::new(x, y, x + tile, y + tile).intersect(&panel);
        *self
            .known
            .entry(Pixel { x, y })
            .or_insert_with(|| Annulus::default().measure_within(frame, classes, rect, panel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::frame::bad;
    use crate::domain::grid::Grid;

    #[test]
    fn spots_stand_out_of_a_slope_and_bad_pixels_do_not() {
        let pixels = Grid::from_fn(96, 64, |x, y| {
            let noise = ((x * 31 + y * 17) % 7) as f32 - 3.0;
            let spot = if x % 24 == 12 && y % 16 == 8 {
                40.0
            } else {
                0.0
            };
            x as f32 * 0.3 + noise + spot
        });
        let bits = Grid::from_fn(96, 64, |x, y| if (x, y) == (36, 24) { bad::HOT } else { 0 });
        let frame = Frame::new(0, pixels, bits).unwrap();
        let classes = Sheet::filled(96, 64, 0);
        let all = frame.pixels.rect();
        let mut levels = LocalLevels::new(9.0);
        let mut found = Vec::new();
        for y in 0..64 {
            for x in 0..96 {
                let at = Pixel { x, y };
                if levels.admits(Threshold::Snr(4.0), &frame, &classes, all, at) {
                    found.push((x, y));
                }
            }
        }
        let wanted = |(x, y): &(usize, usize)| x % 24 == 12 && y % 16 == 8 && (*x, *y) != (36, 24);
        assert!(found.iter().all(wanted), "{found:?}");
        assert_eq!(found.len(), 15);
        let range = Threshold::Range {
            low: 10.0,
            high: 20.0,
        };
        let value = |at: Pixel| *frame.pixels.get(at.x, at.y).unwrap();
        for at in (0..96).map(|x| Pixel { x, y: 3 }) {
            let expected = (10.0..=20.0).contains(&value(at));
            assert_eq!(levels.admits(range, &frame, &classes, all, at), expected);
        }
    }
}
