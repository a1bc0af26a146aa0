//! Classical peak finders: baselines for the net, and first labels where no net is trusted.
//!
//! Both give a class map whose peaks are measured like those of a net, so that lists can be compared.

mod peakfinder8;
mod robust;

pub use peakfinder8::{Peakfinder8, radius_bins};
pub use robust::Robust;

use super::frame::Frame;
use super::grid::{Grid, PixelRect};
use super::labels::{Class, Sheet};

/// A finder with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finder {
    Peakfinder8(Peakfinder8),
    Robust(Robust),
}

impl Finder {
    /// Both, with their usual parameters.
    pub const fn all() -> [Self; 2] {
        [
            Self::Peakfinder8(Peakfinder8::USUAL),
            Self::Robust(Robust::USUAL),
        ]
    }

    /// The name on the command line.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Peakfinder8(_) => "peakfinder8",
            Self::Robust(_) => "robust",
        }
    }

    /// The class map of a frame: class peak where the finder sees one, background elsewhere.
    ///
    /// `bins` are the integer distances from the beam, in pixels ([`radius_bins`]); `panels` are the parts of the slab that
    /// peaks do not reach across, all of it where there are none.
    pub fn find(&self, frame: &Frame, bins: &Grid<u16>, panels: &[PixelRect]) -> Sheet {
        let whole = [frame.pixels.rect()];
        let panels = if panels.is_empty() { &whole } else { panels };
        let peaks = match self {
            Self::Peakfinder8(options) => options.peaks(frame, bins, panels),
            Self::Robust(options) => options.peaks(frame, panels),
        };
        let mut sheet = Sheet::filled(frame.width(), frame.height(), Class::Background.code());
        for at in peaks.iter().flatten() {
            if let Some(cell) = sheet.cells_mut().get_mut(*at) {
                *cell = Class::Peak.code();
            }
        }
        sheet
    }
}

/// Pixels above their thresholds that hang together over edges and corners within one panel: the panel and their places, in
/// the order of their first pixels.
fn components(
    frame: &Frame,
    panels: &[PixelRect],
    mut is_above: Vec<bool>,
) -> Vec<(PixelRect, Vec<usize>)> {
    let width = frame.width();
    let mut found = Vec::new();
    let mut stack = Vec::new();
    for rect in panels
        .iter()
        .map(|rect| rect.intersect(&frame.pixels.rect()))
    {
        for y in rect.y0..rect.y1 {
            for first in y * width + rect.x0..y * width + rect.x1 {
                if take(&mut is_above, first) {
                    stack.push(first);
                }
                let mut pixels = Vec::new();
                while let Some(at) = stack.pop() {
                    pixels.push(at);
                    let (x, y) = (at % width, at / width);
                    for v in y.saturating_sub(1).max(rect.y0)..(y + 2).min(rect.y1) {
                        for u in x.saturating_sub(1).max(rect.x0)..(x + 2).min(rect.x1) {
                            if take(&mut is_above, v * width + u) {
                                stack.push(v * width + u);
                            }
                        }
                    }
                }
                if !pixels.is_empty() {
                    found.push((rect, pixels));
                }
            }
        }
    }
    found
}

/// Whether a cell is set; it is not any more.
fn take(cells: &mut [bool], at: usize) -> bool {
    cells.get_mut(at).is_some_and(std::mem::take)
}
