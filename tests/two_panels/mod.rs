//! A detector of two panels that lie elsewhere in space than in the slab.

use peaknet_studio::domain::geometry::{Geometry, Panel};
use peaknet_studio::domain::grid::PixelRect;

/// Edge of the slab, pixels.
pub const SIDE: usize = 64;

/// Two halves of the slab, the second one turned by a right angle, beside the first.
pub fn two_panels() -> Geometry {
    let size = 1e-4;
    let half = SIDE / 2;
    let panel = |y0: usize, corner: [f64; 2], fast: [f64; 2], slow: [f64; 2]| Panel {
        name: format!("p{y0}"),
        rect: PixelRect::new(0, y0, SIDE, y0 + half),
        corner_m: [(30.0 - corner[0]) * size, (30.0 - corner[1]) * size, 0.1],
        fast_m: [-fast[0] * size, -fast[1] * size, 0.0],
        slow_m: [-slow[0] * size, -slow[1] * size, 0.0],
    };
    let beside = (SIDE + 3 + half) as f64;
    Geometry {
        wavelength_angstrom: Some(1.0),
        panels: vec![
            panel(0, [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]),
            panel(half, [beside, 0.0], [0.0, 1.0], [-1.0, 0.0]),
        ],
        ..Geometry::default()
    }
}
