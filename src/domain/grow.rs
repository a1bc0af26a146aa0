//! Peak-grow: from a click to the pixels of a peak, by the labelling rule, on a real frame.
//!
//! The background is that of the ring around the spot; a pixel belongs where the signal, averaged over its 3x3
//! neighbours so that noise does not grow arms, is at least one sigma and connected to the maximum.

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
    pub rect: PixelRect,
    /// Signal over the background per cell of `rect`, 0 where it does not belong.
    signal: Vec<f32>,
    variance: f32,
}

/// Grows the spot whose maximum is near `at`; `None` where nothing stands out of its surroundings.
pub fn grow_peak(frame: &Frame, at: Pixel) -> Option<Grown> {
    let all = frame.pixels.rect();
    let maximum = brightest(frame, around(at, REACH, &all))?;
    let window = around(maximum, WINDOW, &all);
    let cut = Frame::new(
        frame.number,
        Grid::from_cells(
            window.width(),
            window.height(),
            frame.pixels.copy_rect(window),
        )?,
        Grid::from_cells(window.width(), window.height(), frame.bad.copy_rect(window))?,
    )?;
    let center = Pixel {
        x: maximum.x - window.x0,
        y: maximum.y - window.y0,
    };
    let blank = Sheet::filled(cut.width(), cut.height(), 0);
    let core = around(center, 3, &cut.pixels.rect());
    let background = local_background(&cut, &blank, core);
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
                if value > 0.0
                    && averaged(&cut, here) - background.level >= sigma.max(f32::MIN_POSITIVE)
                {
                    signal[index(here)] = value;
                    queue.push(here);
                }
            }
        }
    }
    Some(Grown {
        rect: PixelRect::new(
            rect.x0 + window.x0,
            rect.y0 + window.y0,
            rect.x1 + window.x0,
            rect.y1 + window.y0,
        ),
        signal,
        variance: background.variance,
    })
}

impl Grown {
    /// Paints the spot by the labelling rule, rim included; returns what was touched.
    ///
    /// With `only_background` cells that already have a class keep it.
    pub fn paint(&self, sheet: &mut Sheet, only_background: bool) -> PixelRect {
        let margin = 2;
        let rect = PixelRect::new(
            self.rect.x0.saturating_sub(margin),
            self.rect.y0.saturating_sub(margin),
            self.rect.x1 + margin,
            self.rect.y1 + margin,
        )
        .intersect(&sheet.rect());
        let mut cut = Sheet::filled(rect.width(), rect.height(), Class::Background.code());
        let inner = PixelRect::new(
            self.rect.x0 - rect.x0,
            self.rect.y0 - rect.y0,
            self.rect.x1 - rect.x0,
            self.rect.y1 - rect.y0,
        );
        let Ruling { class, .. } =
            labels_rule::label_spot(&mut cut, inner, &self.signal, |_, _| self.variance);
        if class == Class::Peak {
            labels_rule::rim(&mut cut);
        }
        for y in rect.y0..rect.y1 {
            for x in rect.x0..rect.x1 {
                let (Some(new), Some(old)) =
                    (cut.get(x - rect.x0, y - rect.y0), sheet.get_mut(x, y))
                else {
                    continue;
                };
                let is_rim = *new == Class::Ignore.code();
                let is_kept = only_background || is_rim;
                if *new != 0 && !(is_kept && *old != 0) {
                    *old = *new;
                }
            }
        }
        rect
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
    fn nothing_grows_where_nothing_is() {
        assert_eq!(grow_peak(&frame_with_spot(), Pixel { x: 10, y: 50 }), None);
    }
}
