//! Peaks: the connected components of class peak, measured above their local background.

/// One found peak. Positions are continuous pixels of the slab (centre of the first cell = 0.5).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Peak {
    pub x: f32,
    pub y: f32,
    /// Background-subtracted sum, in the frame's units.
    pub total: f32,
    /// Background-subtracted maximum, in the frame's units.
    pub maximum: f32,
    /// total / sqrt(total + n x background variance): labels rule.
    pub snr: f32,
    /// How many valid pixels it has.
    pub pixels: u32,
    /// Distance of the farthest pixel from the centroid, plus half a pixel.
    pub radius: f32,
}
