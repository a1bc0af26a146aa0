//! Simulated detectors: tiles and gaps, and what happens to drawn photons on their way to stored numbers.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use super::chance::{Spread, chance, exponential, normal, sin_cos};
use crate::domain::frame::bad;
use crate::domain::grid::{Grid, PixelRect};

/// Cells of the slab that lie flat in the detector plane.
///
/// Plane positions are in pixels, origin anywhere: only the beam centre's place among them matters.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    pub rect: PixelRect,
    /// Plane position of the outer corner of the first cell.
    pub corner: [f64; 2],
    /// Plane vector of one step along x, of length 1.
    pub fast: [f64; 2],
    /// Plane vector of one step along y, of length 1.
    pub slow: [f64; 2],
}

impl Tile {
    const fn flat(rect: PixelRect) -> Self {
        Self {
            rect,
            corner: [rect.x0 as f64, rect.y0 as f64],
            fast: [1.0, 0.0],
            slow: [0.0, 1.0],
        }
    }

    /// Plane position of a continuous slab position.
    pub fn plane_from_slab(&self, x: f64, y: f64) -> [f64; 2] {
        let (dx, dy) = (x - self.rect.x0 as f64, y - self.rect.y0 as f64);
        [
            self.corner[0] + dx * self.fast[0] + dy * self.slow[0],
            self.corner[1] + dx * self.fast[1] + dy * self.slow[1],
        ]
    }

    /// Continuous slab position of a plane position, which may lie outside the tile.
    pub fn slab_from_plane(&self, plane: [f64; 2]) -> [f64; 2] {
        let (du, dv) = (plane[0] - self.corner[0], plane[1] - self.corner[1]);
        [
            self.rect.x0 as f64 + du * self.fast[0] + dv * self.fast[1],
            self.rect.y0 as f64 + du * self.slow[0] + dv * self.slow[1],
        ]
    }
}

/// A detector's shape and electronics; every number is explicit.
#[derive(Clone, Debug, PartialEq)]
pub struct Detector {
    pub name: String,
    pub width: usize,
    pub height: usize,
    pub pixel_size_m: f64,
    pub tiles: Vec<Tile>,
    /// Chips of this size share borders of pixels with twice the area.
    pub double_borders: Option<[usize; 2]>,
    /// Stored units of one photon (ADU).
    pub units_per_photon: f32,
    /// Stored value of no photon.
    pub offset: f32,
    /// Sigma of the electronics' noise in stored units.
    pub read_noise: f32,
    /// Sigma of a tile's own offset, in stored units.
    pub tile_offset: f32,
    /// Sigma of a tile's own gain, relative.
    pub tile_gain: f32,
    /// Sigma of the pixels' own gain, relative.
    pub pixel_gain: f32,
    /// Sigma of the point spread in pixels, 0 for detectors that count in the pixel.
    pub spread_px: f32,
    /// Share of the light that goes into a wide halo, and the halo's sigma in pixels.
    pub halo: [f32; 2],
    /// The largest value that can be stored.
    pub ceiling: f32,
    /// Whether values are stored as integers.
    pub integers: bool,
    /// Whether values below 0 are stored.
    pub negatives: bool,
    /// What stands in the gaps.
    pub gap_value: f32,
    pub hot_per_megapixel: Spread,
    pub dead_per_megapixel: Spread,
    /// Share of the hot and dead pixels that the detector's own mask knows.
    pub known_bad: f64,
    pub zingers_per_megapixel: Spread,
}

impl Detector {
    /// The detectors that [`Detector::named`] knows.
    pub const NAMES: [&'static str; 8] = [
        "rayonix",
        "eiger4m",
        "jungfrau",
        "cspad",
        "pilatus300k",
        "pilatus1m",
        "pilatus2m",
        "ccd",
    ];

    /// A detector by its name on the command line.
    pub fn named(name: &str) -> Option<Self> {
        let counting = |columns: usize, rows: usize| Self {
            name: name.to_owned(),
            pixel_size_m: 172e-6,
            tile_gain: 0.01,
            gap_value: -1.0,
            ceiling: 1_048_575.0,
            ..Self::blank(modules(columns, rows, [487, 195], [7, 17]))
        };
        Some(match name {
            "rayonix" => Self {
                name: name.to_owned(),
                pixel_size_m: 177.2e-6,
                units_per_photon: 6.0,
                offset: 10.0,
                read_noise: 2.5,
                pixel_gain: 0.01,
                spread_px: 0.65,
                halo: [0.02, 6.0],
                ceiling: 65_535.0,
                zingers_per_megapixel: Spread::new(0.0, 8.0),
                ..Self::blank(modules(1, 1, [1920, 1920], [0, 0]))
            },
            "ccd" => Self {
                name: name.to_owned(),
                pixel_size_m: 102.4e-6,
                units_per_photon: 2.0,
                offset: 40.0,
                read_noise: 3.0,
                tile_offset: 1.0,
                pixel_gain: 0.02,
                spread_px: 0.9,
                halo: [0.04, 8.0],
                ceiling: 65_535.0,
                zingers_per_megapixel: Spread::new(0.0, 60.0),
                ..Self::blank(modules(2, 2, [1024, 1024], [0, 0]))
            },
            "eiger4m" => Self {
                name: name.to_owned(),
                pixel_size_m: 75e-6,
                ceiling: 65_534.0,
                gap_value: 65_535.0,
                hot_per_megapixel: Spread::new(2.0, 20.0),
                ..Self::blank(modules(2, 4, [1030, 514], [10, 37]))
            },
            "jungfrau" => Self {
                name: name.to_owned(),
                pixel_size_m: 75e-6,
                double_borders: Some([256, 256]),
                read_noise: 0.1,
                pixel_gain: 0.02,
                spread_px: 0.25,
                ceiling: 1e5,
                integers: false,
                negatives: true,
                hot_per_megapixel: Spread::new(20.0, 200.0),
                dead_per_megapixel: Spread::new(20.0, 200.0),
                zingers_per_megapixel: Spread::new(0.0, 10.0),
                ..Self::blank(modules(1, 1, [1024, 512], [0, 0]))
            },
            "cspad" => Self {
                name: name.to_owned(),
                pixel_size_m: 109.92e-6,
                units_per_photon: 25.0,
                read_noise: 5.0,
                tile_offset: 4.0,
                tile_gain: 0.05,
                pixel_gain: 0.06,
                spread_px: 0.2,
                ceiling: 16_383.0,
                negatives: true,
                hot_per_megapixel: Spread::new(50.0, 400.0),
                dead_per_megapixel: Spread::new(50.0, 200.0),
                zingers_per_megapixel: Spread::new(0.0, 10.0),
                ..Self::blank(cspad_tiles())
            },
            "pilatus300k" => counting(1, 3),
            "pilatus1m" => counting(2, 5),
            "pilatus2m" => counting(3, 8),
            "pilatus6m" => counting(5, 12),
            _ => return None,
        })
    }

    /// One counting module of 1024 x 1024 pixels without gaps.
    pub fn plain() -> Self {
        Self {
            name: "plain".to_owned(),
            ..Self::blank(modules(1, 1, [1024, 1024], [0, 0]))
        }
    }

    fn blank((width, height, tiles): (usize, usize, Vec<Tile>)) -> Self {
        Self {
            name: String::new(),
            width,
            height,
            pixel_size_m: 100e-6,
            tiles,
            double_borders: None,
            units_per_photon: 1.0,
            offset: 0.0,
            read_noise: 0.0,
            tile_offset: 0.0,
            tile_gain: 0.0,
            pixel_gain: 0.0,
            spread_px: 0.0,
            halo: [0.0, 6.0],
            ceiling: 1e6,
            integers: true,
            negatives: false,
            gap_value: 0.0,
            hot_per_megapixel: Spread::new(2.0, 30.0),
            dead_per_megapixel: Spread::new(2.0, 30.0),
            known_bad: 0.85,
            zingers_per_megapixel: Spread::new(0.0, 2.0),
        }
    }

    /// Read noise in photons, squared.
    pub fn read_variance(&self) -> f32 {
        (self.read_noise / self.units_per_photon).powi(2)
    }

    /// The part of the detector in `window` as a detector of its own.
    ///
    /// The window may reach beyond the detector; cells outside it are a gap. `left` and `top` may be negative.
    pub fn window(&self, left: i64, top: i64, width: usize, height: usize) -> Self {
        let tiles = self
            .tiles
            .iter()
            .filter_map(|tile| {
                let x0 = (tile.rect.x0 as i64).max(left);
                let y0 = (tile.rect.y0 as i64).max(top);
                let x1 = (tile.rect.x1 as i64).min(left + width as i64);
                let y1 = (tile.rect.y1 as i64).min(top + height as i64);
                if x0 >= x1 || y0 >= y1 {
                    return None;
                }
                let rect = PixelRect::new(
                    (x0 - left) as usize,
                    (y0 - top) as usize,
                    (x1 - left) as usize,
                    (y1 - top) as usize,
                );
                Some(Tile {
                    rect,
                    corner: tile.plane_from_slab(x0 as f64, y0 as f64),
                    ..tile.clone()
                })
            })
            .collect();
        Self {
            width,
            height,
            tiles,
            ..self.clone()
        }
    }

    /// CXI bits of the gaps: missing outside every tile.
    pub fn gaps(&self) -> Grid<u16> {
        let mut gaps = Grid::filled(self.width, self.height, bad::MISSING);
        for tile in &self.tiles {
            for y in tile.rect.y0..tile.rect.y1 {
                if let Some(cells) = gaps.row_mut(y).get_mut(tile.rect.x0..tile.rect.x1) {
                    cells.fill(0);
                }
            }
        }
        gaps
    }

    /// Turns drawn photons into stored values, and bad pixels into bits of `bits`.
    pub fn read_out(&self, photons: &mut Grid<f32>, bits: &mut Grid<u16>, rng: &mut Pcg64Mcg) {
        if self.spread_px > 0.0 {
            blur(photons, self.spread_px);
        }
        if self.halo[0] > 0.0 {
            add_halo(photons, self.halo);
        }
        for tile in &self.tiles {
            let offset = self.offset + self.tile_offset * normal(rng) as f32;
            let gain = (1.0 + self.tile_gain * normal(rng) as f32).max(0.3) * self.units_per_photon;
            for y in tile.rect.y0..tile.rect.y1 {
                let Some(cells) = photons.row_mut(y).get_mut(tile.rect.x0..tile.rect.x1) else {
                    continue;
                };
                for cell in cells {
                    *cell = *cell * gain + offset;
                }
            }
        }
        self.add_bad_pixels(photons, bits, rng);
        self.add_zingers(photons, rng);
        for (value, bits) in photons.cells_mut().iter_mut().zip(bits.cells_mut()) {
            if *bits & bad::MISSING != 0 {
                *value = self.gap_value;
                continue;
            }
            if self.read_noise > 0.0 {
                *value += self.read_noise * rng.sample::<f32, _>(rand_distr::StandardNormal);
            }
            if self.integers {
                *value = value.round();
            }
            if !self.negatives {
                *value = value.max(0.0);
            }
            if *value >= self.ceiling {
                *value = self.ceiling;
                *bits |= bad::SATURATED;
            }
        }
    }

    fn add_bad_pixels(&self, values: &mut Grid<f32>, bits: &mut Grid<u16>, rng: &mut Pcg64Mcg) {
        let megapixels = values.len() as f64 / 1e6;
        for (rate, bit) in [
            (self.hot_per_megapixel, bad::HOT),
            (self.dead_per_megapixel, bad::DEAD),
        ] {
            let count = rate.draw_log(rng) * megapixels;
            let count = count.floor() as usize + usize::from(chance(rng, count.fract()));
            for _ in 0..count {
                let (x, y) = anywhere(values, rng);
                let level = if bit == bad::HOT {
                    let photons = 3.0 * super::chance::exp(7.0 * rng.random::<f64>());
                    self.offset + photons as f32 * self.units_per_photon
                } else {
                    self.offset
                };
                let known = chance(rng, self.known_bad);
                if let (Some(value), Some(bits)) = (values.get_mut(x, y), bits.get_mut(x, y)) {
                    *value = level.min(self.ceiling * 0.999);
                    if known {
                        *bits |= bit;
                    }
                }
            }
        }
    }

    fn add_zingers(&self, values: &mut Grid<f32>, rng: &mut Pcg64Mcg) {
        let count = self.zingers_per_megapixel.draw(rng) * values.len() as f64 / 1e6;
        let count = count.floor() as usize + usize::from(chance(rng, count.fract()));
        for _ in 0..count {
            let (x, y) = anywhere(values, rng);
            let charge = (6.0 + 60.0 * exponential(rng)) as f32 * self.units_per_photon;
            // Mostly one or two pixels, sometimes the track of a cosmic ray.
            let length = if chance(rng, 0.15) {
                rng.random_range(3.0..14.0)
            } else {
                rng.random_range(0.0..1.6)
            };
            let (sin, cos) = sin_cos(rng.random::<f64>() * std::f64::consts::TAU);
            let mut step = 0.0;
            while step <= length {
                let (px, py) = (x as f64 + cos * step, y as f64 + sin * step);
                if px >= 0.0
                    && py >= 0.0
                    && let Some(value) = values.get_mut(px as usize, py as usize)
                {
                    *value += charge * (0.3 + 0.7 * rng.random::<f32>());
                }
                step += 1.0;
            }
        }
    }
}

fn anywhere(grid: &Grid<f32>, rng: &mut Pcg64Mcg) -> (usize, usize) {
    let x = rng.random_range(0..grid.width().max(1) as u32);
    let y = rng.random_range(0..grid.height().max(1) as u32);
    (x as usize, y as usize)
}

/// A flat detector of columns x rows modules.
pub fn modules(
    columns: usize,
    rows: usize,
    size: [usize; 2],
    gap: [usize; 2],
) -> (usize, usize, Vec<Tile>) {
    let mut tiles = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            let x0 = column * (size[0] + gap[0]);
            let y0 = row * (size[1] + gap[1]);
            let rect = PixelRect::new(x0, y0, x0 + size[0], y0 + size[1]);
            tiles.push(Tile::flat(rect));
        }
    }
    (
        columns * size[0] + (columns - 1) * gap[0],
        rows * size[1] + (rows - 1) * gap[1],
        tiles,
    )
}

/// The CSPAD's slab of 64 chips (1552 x 1480): four quadrants about the beam, each of eight sensors of two chips.
///
/// Nominal places after Hart et al., Proc. SPIE 8504 (2012), with small fixed rotations; not those of one experiment.
fn cspad_tiles() -> (usize, usize, Vec<Tile>) {
    const CHIP: [usize; 2] = [194, 185];
    // Of each pair of sensors in a quadrant: centre of the block and its quarter turns.
    const BLOCKS: [([f64; 2], i32); 4] = [
        ([215.0, 215.0], 0),
        ([640.0, 215.0], 1),
        ([640.0, 640.0], 2),
        ([215.0, 640.0], 1),
    ];
    let mut tiles = Vec::new();
    for quadrant in 0..4_usize {
        for sensor in 0..8_usize {
            let (center, turns) = BLOCKS[sensor / 2];
            let wobble = 0.004 * (((quadrant * 8 + sensor) * 37 % 17) as f64 / 8.0 - 1.0);
            let quarter = std::f64::consts::FRAC_PI_2;
            let (sin, cos) = sin_cos(f64::from(turns) * quarter + wobble);
            let (sin_q, cos_q) = sin_cos(quadrant as f64 * quarter);
            let turn = |v: [f64; 2]| {
                let v = [v[0] * cos - v[1] * sin, v[0] * sin + v[1] * cos];
                // Quadrants turn about the beam hole, 6 px off the beam.
                (
                    v,
                    [v[0] * cos_q - v[1] * sin_q, v[0] * sin_q + v[1] * cos_q],
                )
            };
            for chip in 0..2_usize {
                let x0 = quadrant * 2 * CHIP[0] + chip * CHIP[0];
                let y0 = sensor * CHIP[1];
                // The chips of a sensor lie 3 px apart, the sensors of a block 24 px.
                let local = [
                    chip as f64 * (CHIP[0] as f64 + 3.0) - CHIP[0] as f64 - 1.5,
                    (sensor % 2) as f64 * (CHIP[1] as f64 + 24.0) - CHIP[1] as f64 - 12.0,
                ];
                let inner = turn(local).0;
                let block = [center[0] + inner[0] + 6.0, center[1] + inner[1] + 6.0];
                tiles.push(Tile {
                    rect: PixelRect::new(x0, y0, x0 + CHIP[0], y0 + CHIP[1]),
                    corner: [
                        block[0] * cos_q - block[1] * sin_q,
                        block[0] * sin_q + block[1] * cos_q,
                    ],
                    fast: turn([1.0, 0.0]).1,
                    slow: turn([0.0, 1.0]).1,
                });
            }
        }
    }
    (8 * CHIP[0], 8 * CHIP[1], tiles)
}

/// Gaussian blur by a separable kernel; beyond the grid its edge is thought to go on.
pub fn blur(grid: &mut Grid<f32>, sigma: f32) {
    let reach = ((3.0 * sigma).ceil() as usize).max(1);
    // The kernel is a Gaussian integrated over pixels, here by ten samples a pixel.
    let mut kernel: Vec<f32> = (0..=2 * reach)
        .map(|i| {
            (0..10)
                .map(|s| {
                    let x = i as f32 - reach as f32 + (s as f32 - 4.5) / 10.0;
                    super::chance::exp_fast(-x * x / (2.0 * sigma * sigma))
                })
                .sum()
        })
        .collect();
    let sum: f32 = kernel.iter().sum();
    kernel.iter_mut().for_each(|k| *k /= sum);
    let (width, height) = (grid.width(), grid.height());
    if width == 0 || height == 0 {
        return;
    }
    let mut padded = vec![0.0; width + 2 * reach];
    for y in 0..height {
        let row = grid.row_mut(y);
        padded[reach..reach + width].copy_from_slice(row);
        let (first, last) = (padded[reach], padded[reach + width - 1]);
        padded[..reach].fill(first);
        padded[reach + width..].fill(last);
        row.fill(0.0);
        for (offset, k) in kernel.iter().enumerate() {
            for (out, value) in row.iter_mut().zip(&padded[offset..]) {
                *out += k * value;
            }
        }
    }
    let old = grid.clone();
    for y in 0..height {
        let row = grid.row_mut(y);
        row.fill(0.0);
        for (offset, k) in kernel.iter().enumerate() {
            let source = (y + offset).saturating_sub(reach).min(height - 1);
            for (out, value) in row.iter_mut().zip(old.row(source)) {
                *out += k * value;
            }
        }
    }
}

/// Moves a share of the light into a wide halo.
pub fn add_halo(grid: &mut Grid<f32>, [share, sigma]: [f32; 2]) {
    let mut wide = grid.clone();
    for _ in 0..2 {
        blur(&mut wide, sigma / std::f32::consts::SQRT_2);
    }
    for (value, wide) in grid.cells_mut().iter_mut().zip(wide.cells()) {
        *value = *value * (1.0 - share) + wide * share;
    }
}
