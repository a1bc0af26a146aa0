//! Which peaks CrystFEL keeps when it re-checks a list that another program made.
//!
//! `indexamajig` puts every listed peak through its three-ring integration, unless told `--no-revalidate`: the disc of the inner radius is the
//! peak, the ring from the middle to the outer radius its background, both about the cell that the peak lies in. A single bad
//! pixel in either, or a cell outside the panel, and the peak is dropped (CrystFEL 0.12, `validate_peaks`). Saturated
//! pixels are not bad.

use super::Peak;
use crate::domain::frame::Frame;
use crate::domain::grid::{Pixel, PixelRect};
use crate::domain::labels::{Class, Sheet};

/// Inner, middle and outer radius, pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Radii(pub [f32; 3]);

impl Default for Radii {
    /// What `indexamajig` takes where neither `--peak-radius` nor `--int-radius` is given.
    fn default() -> Self {
        Self([4.0, 5.0, 7.0])
    }
}

/// What the re-check sees of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Recheck<'a> {
    pub frame: &'a Frame,
    /// The classes whose artifacts the mask marks, and the pixels around a peak that it leaves free of them; `None` where it marks none.
    pub artifacts: Option<(&'a Sheet, usize)>,
    /// The panels of the geometry; without any the frame is one panel.
    pub panels: &'a [PixelRect],
    pub radii: Radii,
}

impl Recheck<'_> {
    /// Sets `near_bad` of every peak that the re-check drops.
    pub fn mark(&self, peaks: &mut [Peak]) {
        for peak in peaks {
            peak.near_bad = !self.passes(peak);
        }
    }

    fn passes(&self, peak: &Peak) -> bool {
        let all = self.frame.pixels.rect();
        if peak.x < 0.0 || peak.y < 0.0 {
            return false;
        }
        let at = Pixel {
            x: peak.x as usize,
            y: peak.y as usize,
        };
        let panel = if self.panels.is_empty() {
            all
        } else {
            match self.panels.iter().find(|panel| panel.contains(at)) {
                Some(panel) => panel.intersect(&all),
                None => return false,
            }
        };
        let [inner, middle, outer] = self.radii.0.map(|radius| radius * radius);
        let reach = self.radii.0.iter().fold(0.0_f32, |a, b| a.max(*b)) as isize;
        (-reach..=reach).all(|dy| {
            (-reach..=reach).all(|dx| {
                let away = (dx * dx + dy * dy) as f32;
                if away > inner && !(middle..=outer).contains(&away) {
                    return true;
                }
                let cell = (at.x.checked_add_signed(dx)).zip(at.y.checked_add_signed(dy));
                cell.is_some_and(|(x, y)| {
                    panel.contains(Pixel { x, y }) && self.is_good(peak, x, y)
                })
            })
        })
    }

    fn is_good(&self, peak: &Peak, x: usize, y: usize) -> bool {
        let free = |margin: usize| {
            let away = (x as f32 + 0.5 - peak.x).hypot(y as f32 + 0.5 - peak.y);
            away <= peak.radius + margin as f32
        };
        let is_masked = self.artifacts.is_some_and(|(classes, margin)| {
            classes.get(x, y) == Some(&Class::Artifact.code()) && !free(margin)
        });
        self.frame.is_valid(x, y) && !is_masked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::frame::bad;
    use crate::domain::grid::Grid;

    fn is_kept(
        at: (f32, f32),
        bad_pixel: Option<(usize, usize, u16)>,
        panels: &[PixelRect],
    ) -> bool {
        let mut bits = Grid::filled(60, 60, 0);
        if let Some((x, y, code)) = bad_pixel {
            *bits.get_mut(x, y).unwrap() = code;
        }
        let frame = Frame::new(0, Grid::filled(60, 60, 0.0), bits).unwrap();
        let mut peaks = [Peak {
            x: at.0,
            y: at.1,
            ..Peak::default()
        }];
        let recheck = Recheck {
            frame: &frame,
            artifacts: None,
            panels,
            radii: Radii::default(),
        };
        recheck.mark(&mut peaks);
        !peaks[0].near_bad
    }

    #[test]
    fn bad_pixels_in_the_disc_or_the_ring_and_edges_of_panels() {
        let middle = (30.6, 30.4);
        for (dx, dy, kept) in [
            (0, 0, false),
            (4, 0, false),
            (3, 3, true), // 4.2 px: between disc and ring
            (5, 0, false),
            (0, 7, false),
            (5, 5, true), // 7.1 px
            (8, 0, true),
        ] {
            let pixel = Some((30 + dx, 30 + dy, bad::DEAD));
            assert_eq!(is_kept(middle, pixel, &[]), kept, "{dx} {dy}");
        }
        assert!(is_kept(
            middle,
            Some((30, 30, bad::SATURATED | bad::ARTIFACT)),
            &[]
        ));
        let halves = [PixelRect::new(0, 0, 60, 31), PixelRect::new(0, 31, 60, 58)];
        for (y, kept) in [
            (6.9, false),
            (7.1, true),
            (23.9, true),
            (24.1, false),
            (38.1, true),
            (59.0, false),
        ] {
            assert_eq!(is_kept((30.5, y), None, &halves), kept, "{y}");
        }
        assert!(!is_kept((52.9, 60.5), None, &[]));
    }

    #[test]
    fn artifacts_count_outside_of_the_margin_that_the_mask_leaves_free() {
        let frame = Frame::new(0, Grid::filled(60, 60, 0.0), Grid::filled(60, 60, 0)).unwrap();
        let ring = Sheet::filled(60, 60, Class::Artifact.code());
        for (margin, kept) in [(0, false), (4, false), (6, true)] {
            let mut peaks = [Peak {
                x: 30.5,
                y: 30.5,
                radius: 1.5,
                ..Peak::default()
            }];
            let recheck = Recheck {
                frame: &frame,
                artifacts: Some((&ring, margin)),
                panels: &[],
                radii: Radii::default(),
            };
            recheck.mark(&mut peaks);
            assert_eq!(!peaks[0].near_bad, kept, "{margin}");
        }
    }
}
