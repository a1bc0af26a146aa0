//! Which peaks CrystFEL keeps when it re-checks a list that another program made.
//!
//! `indexamajig` puts every listed peak through its three-ring integration, unless told `--no-revalidate`: the disc of the inner radius is the
//! peak, the ring from the middle to the outer radius its background, both about the cell that the peak lies in. A single bad
//! pixel in either, or a cell outside the panel, and the peak is dropped (CrystFEL 0.12, `validate_peaks`). Saturated
//! pixels are not bad.

use super::Peak;
use crate::domain::frame::{Frame, bad};
use crate::domain::grid::PixelRect;

/// Inner, middle and outer radius, pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Radii(pub [f32; 3]);

impl Default for Radii {
    /// What `indexamajig` takes where neither `--peak-radius` nor `--int-radius` is given.
    fn default() -> Self {
        Self([4.0, 5.0, 7.0])
    }
}

/// Sets `near_bad` of every peak that the re-check drops.
///
/// `panels` are those of the geometry; without any the frame is one panel.
pub fn mark(peaks: &mut [Peak], frame: &Frame, panels: &[PixelRect], radii: Radii) {
    for peak in peaks {
        peak.near_bad = !passes(peak, frame, panels, radii);
    }
}

fn passes(peak: &Peak, frame: &Frame, panels: &[PixelRect], radii: Radii) -> bool {
    let all = frame.pixels.rect();
    if peak.x < 0.0 || peak.y < 0.0 {
        return false;
    }
    let at = crate::domain::grid::Pixel {
        x: peak.x as usize,
        y: peak.y as usize,
    };
    let panel = if panels.is_empty() {
        all
    } else {
        match panels.iter().find(|panel| panel.contains(at)) {
            Some(panel) => panel.intersect(&all),
            None => return false,
        }
    };
    let [inner, middle, outer] = radii.0.map(|radius| radius * radius);
    let reach = radii.0.iter().fold(0.0_f32, |a, b| a.max(*b)).max(0.0) as i64;
    (-reach..=reach).all(|dy| {
        (-reach..=reach).all(|dx| {
            let away = (dx * dx + dy * dy) as f32;
            if away > inner && !(middle..=outer).contains(&away) {
                return true;
            }
            let (x, y) = (
                at.x.checked_add_signed(dx as isize),
                at.y.checked_add_signed(dy as isize),
            );
            let (Some(x), Some(y)) = (x, y) else {
                return false;
            };
            panel.contains(crate::domain::grid::Pixel { x, y })
                && (frame.bad.get(x, y)).is_some_and(|bits| bits & bad::NOT_VALID == 0)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
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
        mark(&mut peaks, &frame, panels, Radii::default());
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
}
