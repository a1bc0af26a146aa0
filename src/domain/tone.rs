//! Tone: from counts to colour. The formulas here are the reference of `assets/shaders/canvas.wgsl`.

use super::frame::Statistics;

/// How a value within the range becomes a brightness; formulas of astropy.visualization's stretches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Curve {
    #[default]
    Linear,
    /// `ln(1 + 1000 u) / ln(1001)`
    Log,
    Sqrt,
    /// `asinh(10 u) / asinh(10)`
    Asinh,
}

impl Curve {
    pub const ALL: [Self; 4] = [Self::Linear, Self::Log, Self::Sqrt, Self::Asinh];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Log => "log",
            Self::Sqrt => "sqrt",
            Self::Asinh => "asinh",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.name() == name)
    }

    /// The number that the shader knows the curve by.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// Brightness 0..1 of a position 0..1 within the range.
    pub fn apply(self, u: f32) -> f32 {
        match self {
            Self::Linear => u,
            Self::Log => (1.0 + 1000.0 * u).ln() / 1001.0_f32.ln(),
            Self::Sqrt => u.sqrt(),
            Self::Asinh => (10.0 * u).asinh() / 10.0_f32.asinh(),
        }
    }
}

/// From brightness to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ColorMap {
    /// Dark peaks on light, as crystallographers read film.
    #[default]
    GreyInverted,
    Grey,
    Viridis,
    Magma,
    Cividis,
}

impl ColorMap {
    pub const ALL: [Self; 5] = [
        Self::GreyInverted,
        Self::Grey,
        Self::Viridis,
        Self::Magma,
        Self::Cividis,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::GreyInverted => "grey inverted",
            Self::Grey => "grey",
            Self::Viridis => "viridis",
            Self::Magma => "magma",
            Self::Cividis => "cividis",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|map| map.name() == name)
    }

    /// Colour (sRGB) of a brightness 0..1: one of 256 steps.
    pub fn color(self, brightness: f32) -> [u8; 3] {
        let step = (brightness.clamp(0.0, 1.0) * 255.0 + 0.5) as usize;
        self.step(step.min(255))
    }

    /// All 256 colours, darkest value first.
    pub fn table(self) -> [[u8; 3]; 256] {
        std::array::from_fn(|step| self.step(step))
    }

    fn step(self, step: usize) -> [u8; 3] {
        let grey = step.min(255) as u8;
        match self {
            Self::GreyInverted => [255 - grey; 3],
            Self::Grey => [grey; 3],
            Self::Viridis => between(&VIRIDIS, step),
            Self::Magma => between(&MAGMA, step),
            Self::Cividis => between(&CIVIDIS, step),
        }
    }
}

/// Linear interpolation between the 33 control points of a map.
fn between(points: &[u32; 33], step: usize) -> [u8; 3] {
    let position = step as f32 * 32.0 / 255.0;
    let left = (position as usize).min(31);
    let part = position - left as f32;
    let (a, b) = (points[left], points[left + 1]);
    [16, 8, 0].map(|shift| {
        let (a, b) = ((a >> shift & 0xff) as f32, (b >> shift & 0xff) as f32);
        (a + (b - a) * part + 0.5) as u8
    })
}

/// What turns counts into colours: a range, a curve, a colour map.
///
/// `low` and `high` are in the frame's own units and always `low < high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tone {
    pub curve: Curve,
    pub low: f32,
    pub high: f32,
    pub map: ColorMap,
}

impl Default for Tone {
    fn default() -> Self {
        Self {
            curve: Curve::Linear,
            low: 0.0,
            high: 1.0,
            map: ColorMap::GreyInverted,
        }
    }
}

impl Tone {
    /// Brightness 0..1 of a value.
    pub fn brightness(&self, value: f32) -> f32 {
        let u = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        if u.is_nan() { 0.0 } else { self.curve.apply(u) }
    }

    /// Colour (sRGB) of a value in the frame's units; what the shader draws, within one step.
    pub fn color(&self, value: f32) -> [u8; 3] {
        self.map.color(self.brightness(value))
    }

    /// Takes over a new range, put in order and at least one representable step wide.
    pub fn set_range(&mut self, low: f32, high: f32) {
        if !low.is_finite() || !high.is_finite() {
            return;
        }
        let (low, high) = if low <= high {
            (low, high)
        } else {
            (high, low)
        };
        let least = (low.abs().max(high.abs()) * 1e-6).max(1e-12);
        self.low = low;
        self.high = high.max(low + least);
    }

    /// Sets the range from a frame's robust statistics; see [`auto_range`].
    pub fn set_auto(&mut self, statistics: &Statistics) {
        let (low, high) = auto_range(statistics);
        self.set_range(low, high);
    }
}

/// A range that shows background and weak peaks alike, and that no hot pixel can ruin.
///
/// From the 1st percentile to 10 sigma above the median, or to the 99.9th percentile where that is more, but not
/// beyond three times the reach of the 99th (a bright direct beam). Where that
/// is empty because nearly all pixels are equal (few photons), up to 10 units above, but never beyond the maximum.
pub fn auto_range(statistics: &Statistics) -> (f32, f32) {
    let low = statistics.p01;
    let noise = statistics.median + 10.0 * statistics.sigma;
    let bulk = low + 3.0 * (statistics.p99 - low);
    let high = noise.max(bulk.min(statistics.p999));
    let reach = statistics.maximum - low;
    let high = if high - low > 0.0 {
        high.min(statistics.maximum)
    } else {
        low
    };
    // Counts of a few photons: 1 photon shall not be as black as 20.
    let whole = low.fract() == 0.0 && statistics.median.fract() == 0.0 && high.fract() == 0.0;
    let high = if whole && high - low < 5.0 && statistics.sigma == 0.0 {
        low + reach.clamp(0.0, 5.0)
    } else if high <= low {
        low + reach.clamp(0.0, 10.0)
    } else {
        high
    };
    if high > low {
        (low, high)
    } else {
        (low, low + 1.0)
    }
}

// The maps viridis, magma (CC0, by N. Smith and S. van der Walt) and cividis (CC0, by Nunez, Anderton and Renslow),
// sampled at 33 even places from matplotlib 3.11 and rounded to 8 bits; in between at most 5 of 255 off.
const VIRIDIS: [u32; 33] = [
    0x440154, 0x470d60, 0x48186a, 0x482374, 0x472d7b, 0x453781, 0x424086, 0x3e4989, 0x3b528b,
    0x375b8d, 0x33638d, 0x2f6b8e, 0x2c728e, 0x297a8e, 0x26828e, 0x23898e, 0x21918c, 0x1f988b,
    0x1fa088, 0x22a785, 0x28ae80, 0x32b67a, 0x3fbc73, 0x4ec36b, 0x5ec962, 0x70cf57, 0x84d44b,
    0x98d83e, 0xaddc30, 0xc2df23, 0xd8e219, 0xece51b, 0xfde725,
];
const MAGMA: [u32; 33] = [
    0x000004, 0x030312, 0x0a0822, 0x130d34, 0x1d1147, 0x29115a, 0x36106b, 0x440f76, 0x51127c,
    0x5d177f, 0x6a1c81, 0x762181, 0x832681, 0x902a81, 0x9c2e7f, 0xaa337d, 0xb73779, 0xc43c75,
    0xd0416f, 0xdc4869, 0xe75263, 0xef5d5e, 0xf56b5c, 0xf9795d, 0xfc8961, 0xfd9869, 0xfea772,
    0xfeb67c, 0xfec488, 0xfed395, 0xfde2a3, 0xfcf0b2, 0xfcfdbf,
];
const CIVIDIS: [u32; 33] = [
    0x00224e, 0x00285b, 0x002e6a, 0x053371, 0x1a386f, 0x273e6e, 0x32436d, 0x3b496c, 0x434e6c,
    0x4b546c, 0x535a6d, 0x5a5f6e, 0x61656f, 0x686a71, 0x6f7073, 0x767676, 0x7d7c78, 0x848279,
    0x8c8878, 0x938e78, 0x9b9476, 0xa39a74, 0xaba072, 0xb4a76f, 0xbcae6c, 0xc4b468, 0xcdbb63,
    0xd5c25e, 0xdec958, 0xe7d150, 0xf0d846, 0xf9e03a, 0xfee838,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::frame::Frame;
    use crate::domain::grid::Grid;

    fn range_of(values: impl Fn(usize) -> f32) -> (f32, f32) {
        let pixels = Grid::from_fn(500, 400, |x, y| values(y * 500 + x));
        let frame = Frame::new(0, pixels, Grid::filled(500, 400, 0)).expect("same shape");
        auto_range(&frame.statistics())
    }

    #[test]
    fn auto_range_of_hard_frames() {
        let noise = |i: usize| 100.0 + (i * 7919 % 101) as f32 / 10.0;
        let usual = range_of(noise);
        assert!(usual.0 >= 100.0 && usual.1 <= 111.0, "{usual:?}");
        let hot = range_of(|i| if i == 77 { 1.0e9 } else { noise(i) });
        assert!(hot.1 < 200.0, "one hot pixel: {hot:?}");
        let sparse = range_of(|i| {
            if i % 3000 == 0 {
                (i / 3000 % 4) as f32
            } else {
                0.0
            }
        });
        assert!(
            sparse.0 == 0.0 && sparse.1 >= 1.0 && sparse.1 <= 5.0,
            "{sparse:?}"
        );
        let sparse_hot = range_of(|i| if i == 33 { 65_535.0 } else { 0.0 });
        assert!(sparse_hot.1 <= 10.0, "{sparse_hot:?}");
        assert_eq!(range_of(|_| 7.0), (7.0, 8.0));
        assert_eq!(auto_range(&Statistics::default()), (0.0, 1.0));
        let small = range_of(|i| if i % 2000 == 0 { 0.5 } else { 0.0 });
        assert!(small.1 > 0.0 && small.1 <= 0.5, "{small:?}");
    }

    #[test]
    fn curves_and_maps_have_their_ends() {
        for curve in Curve::ALL {
            assert!(curve.apply(0.0).abs() < 1e-6 && (curve.apply(1.0) - 1.0).abs() < 1e-5);
            assert_eq!(Curve::from_name(curve.name()), Some(curve));
            let mut last = -1.0;
            for step in 0..=100 {
                let now = curve.apply(step as f32 / 100.0);
                assert!(now > last);
                last = now;
            }
        }
        assert_eq!(ColorMap::Viridis.color(0.0), [0x44, 0x01, 0x54]);
        assert_eq!(ColorMap::Viridis.color(1.0), [0xfd, 0xe7, 0x25]);
        assert_eq!(ColorMap::GreyInverted.color(0.0), [255; 3]);
        let tone = Tone {
            low: 10.0,
            high: 20.0,
            map: ColorMap::Grey,
            ..Tone::default()
        };
        assert_eq!(tone.color(15.0), [128; 3]);
        assert_eq!(
            (tone.color(-5.0), tone.color(f32::NAN), tone.color(99.0)),
            ([0; 3], [0; 3], [255; 3])
        );
    }
}
