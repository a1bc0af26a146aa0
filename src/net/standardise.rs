//! From frame to input: the ways there are, by the name in a net's card. Training and prediction call this one function.

use crate::domain::frame::{Frame, bad};
use crate::domain::grid::Grid;
use crate::net::prepare;

/// How a frame becomes a net's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standardisation {
    /// Level and noise of small tiles by quantiles, then arc sine: [`prepare::prepare`].
    #[default]
    Local,
    /// The paper's: (x - mean) / std over the frame, bad pixels 0 (Wang et al. 2023). Here for comparison.
    Plain,
}

impl Standardisation {
    pub const ALL: [Self; 2] = [Self::Local, Self::Plain];

    /// Name and version, as the card has them.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => prepare::STANDARDISATION,
            Self::Plain => "frame-mean-deviation-1",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// The input for a frame, of its shape; invalid pixels are 0.
    pub fn apply(self, frame: &Frame) -> Grid<f32> {
        match self {
            Self::Local => prepare::prepare(frame),
            Self::Plain => plain(frame),
        }
    }
}

/// (x - mean) / std over the frame; bad pixels are set to 0 first and count, as in the published code.
fn plain(frame: &Frame) -> Grid<f32> {
    let cells = || frame.pixels.cells().iter().zip(frame.bad.cells());
    let value = |(value, bits): (&f32, &u16)| {
        if bits & bad::NOT_VALID == 0 {
            f64::from(*value)
        } else {
            0.0
        }
    };
    let count = frame.pixels.len().max(1) as f64;
    let mean = cells().map(value).sum::<f64>() / count;
    let variance = cells().map(value).map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    let deviation = variance.sqrt().max(1e-6);
    let mut out = Grid::filled(frame.width(), frame.height(), 0.0_f32);
    for (out, cell) in out.cells_mut().iter_mut().zip(cells()) {
        if cell.1 & bad::NOT_VALID == 0 {
            *out = ((value(cell) - mean) / deviation) as f32;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_has_mean_0_and_deviation_1() {
        let pixels = Grid::from_fn(20, 10, |x, y| (x * 7 + y * y) as f32 * 3.0 - 40.0);
        let frame = Frame::new(0, pixels, Grid::filled(20, 10, 0)).unwrap();
        let input = Standardisation::Plain.apply(&frame);
        let mean = input.cells().iter().sum::<f32>() / 200.0;
        let square = input.cells().iter().map(|v| v * v).sum::<f32>() / 200.0;
        assert!(
            mean.abs() < 1e-5 && (square - 1.0).abs() < 1e-4,
            "{mean} {square}"
        );
        for way in Standardisation::ALL {
            assert_eq!(Standardisation::named(way.name()), Some(way));
        }
    }
}
