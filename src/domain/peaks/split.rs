//! Touching peaks of one component are parted at the saddle between them, as water parts hills.
//!
//! The pixels are flooded from the highest down; each joins the basin of its highest neighbour. Where two basins meet, the
//! lower summit counts as a peak of its own only if it stands above the saddle by more than the noise of both explains;
//! else it is noise on the other's slope (watershed by topological persistence: Edelsbrunner et al. 2002).

use super::background::LocalBackground;
use crate::domain::components::{Component, Span};
use crate::domain::frame::Frame;
use crate::domain::grid::PixelRect;

/// A summit stands so many sigmas above the saddle, or it is noise. Of the smoothed values.
pub const SADDLE_SIGMAS: f32 = 5.0;
/// How far pixels differ in gain, at most: noise that grows with the signal.
const GAIN_SPREAD: f32 = 0.06;
/// Components with fewer valid pixels hold one peak.
const LEAST_PIXELS: usize = 5;
/// No real frame has a component of so many pixels that holds peaks worth parting.
const MOST_PIXELS: usize = 20_000;

/// Buffers for one component after another.
#[derive(Debug, Default)]
pub struct Splitter {
    /// Values above the background in the component's rectangle and one cell around; NaN where not valid.
    raw: Vec<f32>,
    smooth: Vec<f32>,
    /// Of each cell its basin, `NONE` outside the component.
    basin: Vec<u32>,
    order: Vec<u32>,
    parent: Vec<u32>,
    summit: Vec<f32>,
}

/// Units per photon as the noise of single pixels shows them, from the backgrounds of a frame's components.
///
/// The slope of variance against level, between the lower and the upper quarter; never below 1, which it is where too little is known. A
/// detector's point spread makes it smaller than the true unit, in the measure in which it makes a pixel's noise smaller.
pub fn pixel_units(backgrounds: impl Iterator<Item = LocalBackground>) -> f32 {
    const ENOUGH: usize = 16;
    let mut known: Vec<LocalBackground> = backgrounds.filter(|b| b.pixels > 0).collect();
    if known.len() < ENOUGH {
        return 1.0;
    }
    known.sort_unstable_by(|a, b| a.level.total_cmp(&b.level));
    let quarter = known.len() / 4;
    let median = |part: &[LocalBackground], of: fn(&LocalBackground) -> f32| {
        let mut values: Vec<f32> = part.iter().map(of).collect();
        let middle = values.len() / 2;
        *values.select_nth_unstable_by(middle, f32::total_cmp).1
    };
    let (Some(low), Some(high)) = (known.get(..quarter), known.get(known.len() - quarter..)) else {
        return 1.0;
    };
    let rise = median(high, |b| b.level) - median(low, |b| b.level);
    let noise = median(high, |b| b.variance) - median(low, |b| b.variance);
    if rise > 0.0 && noise > rise {
        noise / rise
    } else {
        1.0
    }
}

const NONE: u32 = u32::MAX;
/// Not yet flooded.
const DRY: u32 = u32::MAX - 1;

/// Share of the noise that remains when pixels of independent noise are smoothed by the kernel 1 2 1 in both directions.
const SMOOTHED: f32 = 36.0 / 256.0;

impl Splitter {
    /// The parts of a component that holds several peaks, in raster order of their first cell; `None` where it holds one.
    ///
    /// `pixel_units` are the units per photon that a single pixel's noise shows.
    pub fn split(
        &mut self,
        frame: &Frame,
        component: &Component,
        background: LocalBackground,
        pixel_units: f32,
    ) -> Option<Vec<Component>> {
        let rect = component.rect;
        if component.count < LEAST_PIXELS
            || component.count > MOST_PIXELS
            || rect.width().max(rect.height()) < 3
        {
            return None;
        }
        let width = rect.width() + 2;
        self.load(frame, component, background.level, width);
        let noise = |value: f32| {
            let photons = background.variance + pixel_units * value.max(0.0);
            SMOOTHED * (photons + (GAIN_SPREAD * value).powi(2))
        };
        if self.flood(width, noise) < 2 {
            return None;
        }
        let parts = self.parts(component, width);
        (parts.len() > 1).then_some(parts)
    }

    fn load(&mut self, frame: &Frame, component: &Component, level: f32, width: usize) {
        let rect = component.rect;
        let height = rect.height() + 2;
        self.raw.clear();
        self.raw.resize(width * height, f32::NAN);
        self.basin.clear();
        self.basin.resize(width * height, NONE);
        for (row, cells) in self.raw.chunks_exact_mut(width).enumerate() {
            let Some(y) = (rect.y0 + row).checked_sub(1) else {
                continue;
            };
            for (column, cell) in cells.iter_mut().enumerate() {
                if let Some(x) = (rect.x0 + column).checked_sub(1)
                    && frame.is_valid(x, y)
                    && let Some(value) = frame.pixels.get(x, y)
                {
                    *cell = value - level;
                }
            }
        }
        self.smooth.clear();
        self.smooth.extend_from_slice(&self.raw);
        self.order.clear();
        for pixel in component.pixels() {
            let at = (pixel.y + 1 - rect.y0) * width + pixel.x + 1 - rect.x0;
            if self.raw.get(at).is_some_and(|value| !value.is_nan()) {
                if let Some(basin) = self.basin.get_mut(at) {
                    *basin = DRY;
                }
                let value = smoothed(&self.raw, at, width);
                if let Some(cell) = self.smooth.get_mut(at) {
                    *cell = value;
                }
                self.order.push(at as u32);
            }
        }
    }

    /// Floods the component and returns how many basins remain.
    fn flood(&mut self, width: usize, noise: impl Fn(f32) -> f32) -> usize {
        let smooth = &self.smooth;
        let value = |at: u32| smooth.get(at as usize).copied().unwrap_or(0.0);
        self.order
            .sort_unstable_by(|a, b| value(*b).total_cmp(&value(*a)).then(a.cmp(b)));
        self.parent.clear();
        self.summit.clear();
        let mut alive = 0;
        for &at in &self.order {
            let here = value(at);
            let mut best: Option<(f32, u32)> = None;
            let mut touched = [NONE; 8];
            let mut count = 0;
            for next in neighbours(at as usize, width) {
                let Some(&basin) = self.basin.get(next) else {
                    continue;
                };
                if basin >= DRY {
                    continue;
                }
                let basin = root(&self.parent, basin);
                let height = value(next as u32);
                if best.is_none_or(|(highest, _)| height > highest) {
                    best = Some((height, basin));
                }
                if !touched.contains(&basin) {
                    if let Some(slot) = touched.get_mut(count) {
                        *slot = basin;
                    }
                    count += 1;
                }
            }
            let own = match best {
                Some((_, basin)) => basin,
                None => {
                    self.parent.push(self.parent.len() as u32);
                    self.summit.push(here);
                    alive += 1;
                    self.parent.len() as u32 - 1
                }
            };
            if let Some(cell) = self.basin.get_mut(at as usize) {
                *cell = own;
            }
            let touched = touched.get_mut(..count).unwrap_or_default();
            // From the highest summit down: each is compared with the highest basin that it touches.
            let height = |basin: u32| self.summit.get(basin as usize).copied().unwrap_or(0.0);
            touched.sort_unstable_by(|a, b| height(*b).total_cmp(&height(*a)).then(a.cmp(b)));
            let Some((&highest, lower)) = touched.split_first() else {
                continue;
            };
            for &low in lower {
                let summit = height(low);
                let sigma = (noise(summit) + noise(here)).sqrt();
                if summit - here <= SADDLE_SIGMAS * sigma {
                    if let Some(parent) = self.parent.get_mut(low as usize) {
                        *parent = highest;
                    }
                    alive -= 1;
                }
            }
        }
        alive
    }

    fn parts(&self, component: &Component, width: usize) -> Vec<Component> {
        let rect = component.rect;
        let mut parts: Vec<(u32, Component)> = Vec::new();
        for pixel in component.pixels() {
            let at = (pixel.y + 1 - rect.y0) * width + pixel.x + 1 - rect.x0;
            let Some(&basin) = self.basin.get(at).filter(|basin| **basin < DRY) else {
                continue;
            };
            let basin = root(&self.parent, basin);
            let cell = PixelRect::of(pixel);
            let span = Span {
                y: pixel.y,
                x0: pixel.x,
                x1: pixel.x + 1,
            };
            match parts.iter_mut().find(|(of, _)| *of == basin) {
                Some((_, part)) => {
                    part.rect = part.rect.union(&cell);
                    part.count += 1;
                    match part.spans.last_mut() {
                        Some(last) if last.y == pixel.y && last.x1 == pixel.x => last.x1 += 1,
                        _ => part.spans.push(span),
                    }
                }
                None => parts.push((
                    basin,
                    Component {
                        spans: vec![span],
                        rect: cell,
                        count: 1,
                    },
                )),
            }
        }
        parts.into_iter().map(|(_, part)| part).collect()
    }
}

fn root(parent: &[u32], mut basin: u32) -> u32 {
    while let Some(&up) = parent.get(basin as usize) {
        if up == basin {
            break;
        }
        basin = up;
    }
    basin
}

/// The eight cells around one that is not on the border of the buffer.
fn neighbours(at: usize, width: usize) -> [usize; 8] {
    let (up, down) = (at.wrapping_sub(width), at.wrapping_add(width));
    [
        up.wrapping_sub(1),
        up,
        up.wrapping_add(1),
        at.wrapping_sub(1),
        at.wrapping_add(1),
        down.wrapping_sub(1),
        down,
        down.wrapping_add(1),
    ]
}

/// The mean of a cell and its valid neighbours, weights 4, 2 and 1.
fn smoothed(raw: &[f32], at: usize, width: usize) -> f32 {
    const WEIGHTS: [f32; 8] = [1.0, 2.0, 1.0, 2.0, 2.0, 1.0, 2.0, 1.0];
    let mut sum = 4.0 * raw.get(at).copied().unwrap_or(0.0);
    let mut weights = 4.0;
    for (next, weight) in neighbours(at, width).into_iter().zip(WEIGHTS) {
        if let Some(value) = raw.get(next).filter(|value| !value.is_nan()) {
            sum += weight * value;
            weights += weight;
        }
    }
    sum / weights
}
