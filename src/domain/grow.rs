//! Peak-grow: from a click to the pixels of a peak, by the labelling rule, on a real frame.
//!
//! The background is that of the ring around the spot; a pixel belongs where the signal, averaged over its 3x3
//! neighbours so that noise does not grow arms, is at least one sigma and connected to the maximum.

use super::brush::Over;
use super::frame::Frame;
use super::grid::{Grid, Pixel, PixelRect};
use super::labels::{Class, Sheet};
use super::labels_rule::{self, Ruling};
use super::peaks::background::local_background;

/// The click may miss the maximum by so many pixels.
const REACH: usize = 2;
/// No peak reaches farther from its maximum.
const RADIUS: usize = 12;
/// What is looked at around the maximum, background included.
const WINDOW: usize = 40;

/// A spot that was found around a click, ready to be painted.
#[derive(Clone, Debug, PartialEq)]
pub struct Grown {
    /// What the labelling rule says of it.
    pub ruling: Ruling,
    /// Its brightest pixel.
    pub maximum: Pixel,
    /// The pixels that it gives a class, the ignored rim of a peak last.
    pub cells: Vec<(Pixel, Class)>,
}

/// Grows the spot whose maximum is near `at`; `None` where nothing stands out of its surroundings.
pub fn grow_peak(frame: &Frame, at: Pixel) -> Option<Grown> {
    grow_peak_on(frame, None, frame.pixels.rect(), at, 1.0)
}

/// The same on one panel, down to pixels of so many sigmas of their background.
///
/// Where classes are given, artifact pixels and other peaks stay out of the background, and a spot that sits on a ring is
/// judged against the ring.
pub fn grow_peak_on(
    frame: &Frame,
    classes: Option<&Sheet>,
    panel: PixelRect,
    at: Pixel,
    sigmas: f32,
) -> Option<Grown> {
    let all = panel.intersect(&frame.pixels.rect());
    let maximum = brightest(frame, around(at, REACH, &all))?;
    let window = around(maximum, WINDOW, &all);
    let (width, height) = (window.width(), window.height());
    let cut = Frame::new(
        frame.number,
        Grid::from_cells(width, height, frame.pixels.copy_rect(window))?,
        Grid::from_cells(width, height, frame.bad.copy_rect(window))?,
    )?;
    let center = Pixel {
        x: maximum.x - window.x0,
        y: maximum.y - window.y0,
    };
    let classes = match classes {
        Some(classes) => Grid::from_cells(width, height, classes.copy_rect(window))?,
        None => Sheet::filled(width, height, Class::Background.code()),
    };
    let core = around(center, 3, &cut.pixels.rect());
    let background = local_background(&cut, &classes, core);
    let sigma = background.variance.max(0.0).sqrt();
    let peak = cut.pixels.get(center.x, center.y)? - background.level;
    if background.pixels == 0 || peak < 3.0 * sigma || peak <= 0.0 {
        return None;
    }
    let rect = around(center, RADIUS, &cut.pixels.rect());
    let mut signal = vec![0.0; rect.area()];
    let mut queue = vec![center];
    let index = |p: Pixel| (p.y - rect.y0) * rect.width() + p.x - rect.x0;
    signal[index(center)] = peak;
    let mut next = 0;
    while let Some(&from) = queue.get(next) {
        next += 1;
        let near = around(from, 1, &rect).intersect(&rect);
        for y in near.y0..near.y1 {
            for x in near.x0..near.x1 {
                let here = Pixel { x, y };
                if signal[index(here)] > 0.0 || !cut.is_valid(x, y) {
                    continue;
                }
                let value = cut.pixels.get(x, y).copied().unwrap_or(0.0) - background.level;
                let least = (sigmas * sigma).max(f32::MIN_POSITIVE);
                if value > 0.0 && averaged(&cut, here) - background.level >= least {
                    signal[index(here)] = value;
                    queue.push(here);
                }
            }
        }
    }
    let mut labelled = Sheet::filled(width, height, Class::Background.code());
    let variance = |_, _| background.variance;
    let ruling = labels_rule::label_spot_from(&mut labelled, rect, &signal, variance, sigmas);
    if ruling.class == Class::Peak {
        labels_rule::rim(&mut labelled);
    }
    let reach = around(center, RADIUS + 2, &labelled.rect());
    let mut cells = Vec::new();
    for y in reach.y0..reach.y1 {
        for x in reach.x0..reach.x1 {
            let class = labelled.get(x, y).and_then(|code| Class::from_code(*code));
            if let Some(class) = class.filter(|class| *class != Class::Background) {
                let (x, y) = (x + window.x0, y + window.y0);
                cells.push((Pixel { x, y }, class));
            }
        }
    }
    cells.sort_by_key(|(_, class)| *class == Class::Ignore);
    Some(Grown {
        ruling,
        maximum,
        cells,
    })
}

impl Grown {
    /// Paints the spot by the labelling rule, rim included; returns what was touched.
    ///
    /// With `only_background` cells that already have a class keep it.
    pub fn paint(&self, sheet: &mut Sheet, only_background: bool) -> PixelRect {
        let over = if only_background {
            Over::Only(Class::Background)
        } else {
            Over::Everything
        };
        self.paint_over(sheet, over)
    }

    /// The same over the classes that give way; ignored pixels, the rim among them, never cover a class.
    pub fn paint_over(&self, sheet: &mut Sheet, over: Over) -> PixelRect {
        let mut touched = PixelRect::new(0, 0, 0, 0);
        for &(pixel, class) in &self.cells {
            let Some(cell) = sheet.get_mut(pixel.x, pixel.y) else {
                continue;
            };
            let is_free = class != Class::Ignore || *cell == Class::Background.code();
            if is_free && over.allows(*cell) {
                *cell = class.code();
                touched = touched.union(&PixelRect::of(pixel));
            }
        }
        touched
    }
}

fn around(at: Pixel, reach: usize, all: &PixelRect) -> PixelRect {
    PixelRect::new(
        at.x.saturating_sub(reach),
        at.y.saturating_sub(reach),
        at.x + reach + 1,
        at.y + reach + 1,
    )
    .intersect(all)
}

fn brightest(frame: &Frame, rect: PixelRect) -> Option<Pixel> {
    let cells = (rect.y0..rect.y1).flat_map(|y| (rect.x0..rect.x1).map(move |x| Pixel { x, y }));
    let value = |p: &Pixel| frame.pixels.get(p.x, p.y).copied().unwrap_or(f32::MIN);
    cells
        .filter(|p| frame.is_valid(p.x, p.y))
        .max_by(|a, b| value(a).total_cmp(&value(b)))
}

fn averaged(frame: &Frame, at: Pixel) -> f32 {
    let near = around(at, 1, &frame.pixels.rect());
    let (mut sum, mut count) = (0.0, 0);
    for y in near.y0..near.y1 {
        for x in near.x0..near.x1 {
            if frame.is_valid(x, y)
                && let Some(value) = frame.pixels.get(x, y)
            {
                sum += value;
                count += 1;
            }
        }
    }
    sum / count.max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame_with_spot() -> Frame {
        let pixels = Grid::from_fn(60, 60, |x, y| {
            let (dx, dy) = (x as f32 - 30.0, y as f32 - 28.0);
            let noise = ((x * 31 + y * 17) % 7) as f32 - 3.0;
            10.0 + noise + 400.0 * (-(dx * dx + dy * dy) / 4.0).exp()
        });
        Frame::new(0, pixels, Grid::filled(60, 60, 0)).unwrap()
    }

    #[test]
    fn a_click_near_a_spot_paints_its_pixels_and_a_rim() {
        let frame = frame_with_spot();
        let grown = grow_peak(&frame, Pixel { x: 31, y: 29 }).unwrap();
        let mut sheet = Sheet::filled(60, 60, 0);
        grown.paint(&mut sheet, false);
        assert_eq!(sheet.get(30, 28), Some(&1));
        let count = |class: u8| sheet.cells().iter().filter(|c| **c == class).count();
        assert!((9..=80).contains(&count(1)), "{} peak pixels", count(1));
        assert!(count(255) > 8, "no rim");
        assert_eq!(sheet.get(50, 50), Some(&0));
    }

    #[test]
    fn the_level_sets_how_far_a_peak_reaches_and_a_panel_ends_it() {
        let frame = frame_with_spot();
        let at = Pixel { x: 30, y: 28 };
        let all = frame.pixels.rect();
        let peaks = |panel, sigmas| {
            let grown = grow_peak_on(&frame, None, panel, at, sigmas).unwrap();
            let peaks = grown
                .cells
                .iter()
                .filter(|(_, class)| *class == Class::Peak);
            peaks.map(|(pixel, _)| *pixel).collect::<Vec<_>>()
        };
        let counts = [0.4, 1.0, 4.0, 20.0, 60.0].map(|sigmas| peaks(all, sigmas).len());
        assert!(
            counts.windows(2).all(|pair| pair[0] >= pair[1]),
            "{counts:?}"
        );
        assert!(counts[0] > counts[2] && counts[2] > counts[4], "{counts:?}");
        let left = peaks(PixelRect::new(0, 0, 31, 60), 1.0);
        assert!(!left.is_empty() && left.iter().all(|pixel| pixel.x < 31));
    }

    #[test]
    fn a_grain_of_a_ring_is_judged_against_the_ring() {
        let pixels = Grid::from_fn(60, 60, |x, y| {
            let noise = ((x * 31 + y * 17) % 7) as f32 - 3.0;
            let ring = if (25..34).contains(&y) {
                90.0 + 8.0 * noise
            } else {
                0.0
            };
            let spot = if (x, y) == (30, 29) { 60.0 } else { 0.0 };
            10.0 + noise + ring + spot
        });
        let frame = Frame::new(0, pixels, Grid::filled(60, 60, 0)).unwrap();
        let ring = Sheet::from_fn(60, 60, |_, y| if (25..34).contains(&y) { 2 } else { 0 });
        let at = Pixel { x: 30, y: 29 };
        let snr = |classes| {
            let grown = grow_peak_on(&frame, classes, frame.pixels.rect(), at, 1.0);
            grown.map_or(0.0, |grown| grown.ruling.snr)
        };
        assert!(
            snr(Some(&ring)) < snr(None) / 2.0,
            "{} {}",
            snr(Some(&ring)),
            snr(None)
        );
    }

    #[test]
    fn nothing_grows_where_nothing_is() {
        assert_eq!(grow_peak(&frame_with_spot(), Pixel { x: 10, y: 50 }), None);
    }
}
