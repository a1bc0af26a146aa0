//! The shape of one spot on the pixels: where its expected photons fall.

use super::chance::exp_fast;
use super::detector::Tile;
use crate::domain::grid::PixelRect;

/// How a spot's light falls off from its centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Profile {
    Gauss,
    /// A Gaussian with a third of its light in a second one of twice the width.
    Tailed,
    /// A plateau with soft edges: a parallel beam on a large crystal.
    Plateau,
    /// Two Gaussians, this far apart along the second axis: a split crystal. In units of the sigma.
    Split(f32),
    /// A Gaussian with a tail to one side along the first axis.
    Comet,
}

/// One spot in the detector plane; positions relative to the plane's origin, lengths in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spot {
    pub u: f64,
    pub v: f64,
    /// Expected photons in all.
    pub total: f32,
    /// Sigma along the first and across it.
    pub sigma: [f32; 2],
    /// Direction of the first axis in the plane: cosine and sine.
    pub axis: [f32; 2],
    pub profile: Profile,
}

/// The cells that a spot reaches on one tile, and its expected photons in them, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Stamp {
    pub rect: PixelRect,
    pub photons: Vec<f32>,
    /// Continuous slab position of the centre of mass of all its light, also of what misses the tile.
    pub center: [f64; 2],
}

const EDGE: f64 = 2.0;
const LARGEST: f32 = 40.0;

/// Puts a spot on the tile that it falls on (or misses by less than 2 px); `None` when there is none.
///
/// `blur` is the detector's point spread in pixels, added in quadrature.
pub fn stamp(tiles: &[Tile], spot: &Spot, blur: f32) -> Option<Stamp> {
    let (tile, [x, y]) = tiles.iter().find_map(|tile| {
        let [x, y] = tile.slab_from_plane([spot.u, spot.v]);
        let inside = x > tile.rect.x0 as f64 - EDGE
            && x < tile.rect.x1 as f64 + EDGE
            && y > tile.rect.y0 as f64 - EDGE
            && y < tile.rect.y1 as f64 + EDGE;
        inside.then_some((tile, [x, y]))
    })?;
    let sigma = spot
        .sigma
        .map(|s| (s * s + blur * blur).sqrt().clamp(0.15, 12.0));
    let widest = match spot.profile {
        Profile::Gauss | Profile::Plateau => 3.6,
        Profile::Tailed | Profile::Comet => 5.0,
        Profile::Split(apart) => 3.6 + apart / 2.0,
    };
    let reach = (widest * sigma[0].max(sigma[1]) + 1.0).min(LARGEST);
    // The spot's axes in slab directions.
    let to_slab = |axis: [f64; 2]| {
        [
            (axis[0] * tile.fast[0] + axis[1] * tile.fast[1]) as f32,
            (axis[0] * tile.slow[0] + axis[1] * tile.slow[1]) as f32,
        ]
    };
    let first = to_slab([f64::from(spot.axis[0]), f64::from(spot.axis[1])]);
    let second = to_slab([f64::from(-spot.axis[1]), f64::from(spot.axis[0])]);
    let narrow = sigma[0].min(sigma[1]);
    let samples: usize = if narrow < 0.6 {
        4
    } else if narrow < 1.2 {
        2
    } else {
        1
    };
    let (x0, y0) = (
        (x - f64::from(reach)).floor(),
        (y - f64::from(reach)).floor(),
    );
    let side = (2.0 * reach).ceil() as usize + 1;
    let mut values = vec![0.0_f32; side * side];
    let (mut sum, mut moments) = (0.0, [0.0_f64; 2]);
    let step = 1.0 / samples as f32;
    for (index, value) in values.iter_mut().enumerate() {
        let dx = (x0 + (index % side) as f64 - x) as f32;
        let dy = (y0 + (index / side) as f64 - y) as f32;
        for sub in 0..samples * samples {
            let sx = dx + step * ((sub % samples) as f32 + 0.5);
            let sy = dy + step * ((sub / samples) as f32 + 0.5);
            let a = (sx * first[0] + sy * first[1]) / sigma[0];
            let b = (sx * second[0] + sy * second[1]) / sigma[1];
            *value += shape(spot.profile, a, b);
        }
        sum += *value;
        moments[0] += f64::from(*value * (dx + 0.5));
        moments[1] += f64::from(*value * (dy + 0.5));
    }
    if sum <= 0.0 {
        return None;
    }
    let scale = spot.total / sum;
    let clip = |low: f64, limits: (usize, usize)| {
        let start = low.max(limits.0 as f64);
        let end = (low + side as f64).min(limits.1 as f64);
        (start, end.max(start))
    };
    let (cx0, cx1) = clip(x0, (tile.rect.x0, tile.rect.x1));
    let (cy0, cy1) = clip(y0, (tile.rect.y0, tile.rect.y1));
    let rect = PixelRect::new(cx0 as usize, cy0 as usize, cx1 as usize, cy1 as usize);
    if rect.is_empty() {
        return None;
    }
    let (skip_x, skip_y) = ((cx0 - x0) as usize, (cy0 - y0) as usize);
    let mut photons = Vec::with_capacity(rect.area());
    for row in values.chunks_exact(side).skip(skip_y).take(rect.height()) {
        photons.extend(
            row.iter()
                .skip(skip_x)
                .take(rect.width())
                .map(|v| v * scale),
        );
    }
    Some(Stamp {
        rect,
        photons,
        center: [
            x + moments[0] / f64::from(sum),
            y + moments[1] / f64::from(sum),
        ],
    })
}

fn shape(profile: Profile, a: f32, b: f32) -> f32 {
    let gauss = |a: f32, b: f32| exp_fast(-(a * a + b * b) / 2.0);
    match profile {
        Profile::Gauss => gauss(a, b),
        Profile::Tailed => gauss(a, b) + gauss(a / 2.0, b / 2.0) / 8.0,
        Profile::Plateau => {
            let r = (a * a + b * b).sqrt();
            1.0 / (1.0 + exp_fast(((r - 1.7) * 5.0).min(60.0)))
        }
        Profile::Split(apart) => gauss(a, b - apart / 2.0) + 0.6 * gauss(a, b + apart / 2.0),
        Profile::Comet => {
            if a > 0.0 {
                gauss(a / 2.2, b)
            } else {
                gauss(a, b)
            }
        }
    }
}
