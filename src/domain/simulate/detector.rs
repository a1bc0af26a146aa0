//! Simulated detectors: tiles, gaps and the numbers of their electronics.

pub mod readout;

use super::chance::{Spread, sin_cos};
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
    /// Sigma of a zinger's charge in pixels: 0 where it stays in its pixel, more where frames were resampled afterwards.
    pub zinger_spread_px: f32,
    /// Share of the zingers that leave a trail along x: charge that is read out late.
    pub zinger_trail: f64,
    /// Whether charge beyond the ceiling runs over into the neighbours along y.
    pub blooms: bool,
    /// How often a frame has a row or column (or part of one) of its own level.
    pub bad_line: f64,
    /// Sigma of a smooth gain map that no correction took out, relative.
    pub gain_map: f32,
    /// Sigma of a row's own offset (common mode), in stored units.
    pub row_noise: f32,
    /// The disc that sees, where the detector is round: plane position of its middle and radius, pixels.
    pub disc: Option<[f64; 3]>,
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
                zinger_spread_px: 0.4,
                blooms: true,
                gain_map: 0.01,
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
                zingers_per_megapixel: Spread::new(0.0, 0.5),
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
                zingers_per_megapixel: Spread::new(0.0, 0.5),
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
            zinger_spread_px: 0.0,
            zinger_trail: 0.0,
            blooms: false,
            bad_line: 0.02,
            gain_map: 0.0,
            row_noise: 0.0,
            disc: None,
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

    /// Calls `each` for the cells of tiles outside the disc that sees.
    pub fn outside(&self, [u0, v0, radius]: [f64; 3], mut each: impl FnMut(usize, usize)) {
        for tile in &self.tiles {
            for y in tile.rect.y0..tile.rect.y1 {
                for x in tile.rect.x0..tile.rect.x1 {
                    let [u, v] = tile.plane_from_slab(x as f64 + 0.5, y as f64 + 0.5);
                    if (u - u0).powi(2) + (v - v0).powi(2) > radius * radius {
                        each(x, y);
                    }
                }
            }
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
