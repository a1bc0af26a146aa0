//! What is known of a simulated frame: the classes of its pixels by the labelling rule, its true peaks, its geometry.

use super::detector::{self, Detector};
use super::{Placed, Recipe, TruePeak};
use crate::domain::frame::bad;
use crate::domain::geometry::{Geometry, Panel};
use crate::domain::grid::Grid;
use crate::domain::labels::{Class, Sheet};
use crate::domain::labels_rule::{self, artifact_class, label_spot};

/// The classes of all pixels and the reflections that the rule does not call background.
pub(super) fn label(
    detector: &Detector,
    expected: &Grid<f32>,
    ring: &mut Grid<f32>,
    spots: &mut Grid<f32>,
    bits: &Grid<u16>,
    stamps: &[Placed],
) -> (Sheet, Vec<TruePeak>) {
    if detector.spread_px > 0.3 {
        detector::readout::blur(ring, detector.spread_px);
    }
    let read = detector.read_variance();
    let mut sheet = Grid::filled(
        expected.width(),
        expected.height(),
        Class::Background.code(),
    );
    let parts = ring.cells().iter().zip(expected.cells());
    for (class, (ring, background)) in sheet.cells_mut().iter_mut().zip(parts) {
        if *ring > 0.0 {
            *class = artifact_class(*ring, background + read).code();
        }
    }
    if detector.halo[0] > 0.0 && !stamps.is_empty() {
        // The halo of a strong spot is neither peak nor background.
        let own = spots.clone();
        detector::readout::add_halo(spots, detector.halo);
        let share = detector.halo[0];
        let cells = spots.cells().iter().zip(own.cells()).zip(expected.cells());
        for (class, ((both, own), background)) in sheet.cells_mut().iter_mut().zip(cells) {
            let halo = both - own * (1.0 - share);
            if *class == 0 && halo > (background + read).sqrt().max(0.5) {
                *class = Class::Ignore.code();
            }
        }
    }
    let mut peaks = Vec::new();
    for spot in stamps {
        let rect = spot.seen.rect;
        let width = rect.width();
        let mut signal = spot.seen.photons.clone();
        for (index, signal) in signal.iter_mut().enumerate() {
            let (x, y) = (rect.x0 + index % width, rect.y0 + index / width);
            if bits.get(x, y).is_none_or(|bits| bits & bad::NOT_VALID != 0) {
                *signal = 0.0;
            }
        }
        let ruling = label_spot(&mut sheet, rect, &signal, |x, y| {
            let background = expected.get(x, y).copied().unwrap_or(0.0);
            background + ring.get(x, y).copied().unwrap_or(0.0) + read
        });
        if ruling.class != Class::Background {
            let total: f32 = spot.seen.photons.iter().sum();
            peaks.push(TruePeak {
                x: spot.seen.center[0] as f32,
                y: spot.seen.center[1] as f32,
                total: total * detector.units_per_photon,
                snr: ruling.snr,
                hkl: spot.hkl,
            });
        }
    }
    labels_rule::rim(&mut sheet);
    for (class, bits) in sheet.cells_mut().iter_mut().zip(bits.cells()) {
        if bits & bad::NOT_VALID != 0 {
            *class = Class::Ignore.code();
        }
    }
    (sheet, peaks)
}

/// The recipe's geometry as the program knows it: panels only where the tiles are no plain flat detector.
pub(super) fn geometry(recipe: &Recipe) -> Geometry {
    let detector = &recipe.detector;
    let size = detector.pixel_size_m;
    let [beam_u, beam_v] = recipe.beam_center_px;
    let flat = detector.tiles.iter().all(|tile| {
        tile.fast == [1.0, 0.0]
            && tile.slow == [0.0, 1.0]
            && detector.tiles.first().is_some_and(|first| {
                let shift = |tile: &detector::Tile| {
                    [
                        tile.corner[0] - tile.rect.x0 as f64,
                        tile.corner[1] - tile.rect.y0 as f64,
                    ]
                };
                shift(tile) == shift(first)
            })
    });
    let center = detector.tiles.first().filter(|_| flat).map(|tile| {
        [
            beam_u - tile.corner[0] + tile.rect.x0 as f64,
            beam_v - tile.corner[1] + tile.rect.y0 as f64,
        ]
    });
    let panels = detector
        .tiles
        .iter()
        .enumerate()
        .map(|(index, tile)| Panel {
            name: format!("p{index}"),
            rect: tile.rect,
            // Seen along the beam x runs right and y down, both against the lab axes.
            corner_m: [
                -(tile.corner[0] - beam_u) * size,
                -(tile.corner[1] - beam_v) * size,
                recipe.distance_m,
            ],
            fast_m: [-tile.fast[0] * size, -tile.fast[1] * size, 0.0],
            slow_m: [-tile.slow[0] * size, -tile.slow[1] * size, 0.0],
        });
    Geometry {
        wavelength_angstrom: Some(recipe.wavelength_angstrom),
        detector_distance_m: Some(recipe.distance_m),
        pixel_size_m: Some([size, size]),
        beam_center_px: center,
        panels: if flat { Vec::new() } else { panels.collect() },
    }
}
