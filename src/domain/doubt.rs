//! How unsure a net is of a frame: what a curator should look at first.

use super::frame::{Frame, bad};
use super::grid::Grid;

/// Below this probability of anything but background (in 1/255) a pixel is plainly background.
const PLAIN: u32 = 13;

/// Mean of 1 - the best class's probability over the valid pixels that are not plainly background.
///
/// `peak` and `artifact` are probabilities times 255 of the frame's shape. 0 = sure (or nothing but background),
/// at most 2/3.
pub fn doubt(frame: &Frame, peak: &Grid<u8>, artifact: &Grid<u8>) -> f64 {
    let (mut pixels, mut sum) = (0_u64, 0_u64);
    let probabilities = peak.cells().iter().zip(artifact.cells());
    for (bits, (peak, artifact)) in frame.bad.cells().iter().zip(probabilities) {
        let (peak, artifact) = (u32::from(*peak), u32::from(*artifact));
        if bits & bad::NOT_VALID != 0 || peak + artifact < PLAIN {
            continue;
        }
        let best = peak
            .max(artifact)
            .max(255_u32.saturating_sub(peak + artifact));
        pixels += 1;
        sum += u64::from(255 - best);
    }
    sum as f64 / (255 * pixels.max(1)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pixels_that_are_not_plainly_background_count() {
        let frame = Frame::new(0, Grid::filled(2, 2, 1.0), Grid::filled(2, 2, 0)).unwrap();
        let grid = |cells: [u8; 4]| Grid::from_cells(2, 2, cells.to_vec()).unwrap();
        let doubt = |peak, artifact| super::doubt(&frame, &grid(peak), &grid(artifact));
        assert_eq!(doubt([0; 4], [0; 4]), 0.0);
        assert_eq!(doubt([255, 0, 0, 0], [0; 4]), 0.0);
        assert_eq!(doubt([102, 5, 0, 0], [0; 4]), 0.4);
        assert_eq!(
            doubt([102, 51, 0, 0], [102, 204, 0, 0]),
            (153.0 + 51.0) / 510.0
        );
    }
}
