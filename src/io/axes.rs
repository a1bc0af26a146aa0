//! Chains of axes, by which imgCIF and NeXus say where a detector is: each turns or shifts what depends on it, and stands at
//! its offset in the frame of the axis that it depends on.
//!
//! imgCIF dictionary 1.8.5 (category AXIS); NeXus, NXtransformations.

/// One axis with its setting; lengths in the unit of the caller, angles in radians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    pub motion: Motion,
    pub vector: [f64; 3],
    pub offset: [f64; 3],
}

/// What an axis does, and how far it is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Motion {
    Rotation(f64),
    Translation(f64),
    None,
}

impl Axis {
    /// A position in the frame of what depends on the axis, in the frame that the axis depends on.
    pub fn carry(&self, p: [f64; 3]) -> [f64; 3] {
        let moved = match self.motion {
            Motion::Rotation(angle) => turned(p, self.vector, angle),
            Motion::Translation(by) => [0, 1, 2].map(|i| p[i] + by * self.vector[i]),
            Motion::None => p,
        };
        [0, 1, 2].map(|i| moved[i] + self.offset[i])
    }
}

/// Rodrigues' rotation about an axis that need not have length 1.
pub fn turned(p: [f64; 3], axis: [f64; 3], angle: f64) -> [f64; 3] {
    let length = axis.iter().map(|v| v * v).sum::<f64>().sqrt();
    if length == 0.0 || angle == 0.0 {
        return p;
    }
    let [x, y, z] = axis.map(|v| v / length);
    let (sin, cos) = angle.sin_cos();
    let dot = (x * p[0] + y * p[1] + z * p[2]) * (1.0 - cos);
    [
        p[0] * cos + (y * p[2] - z * p[1]) * sin + x * dot,
        p[1] * cos + (z * p[0] - x * p[2]) * sin + y * dot,
        p[2] * cos + (x * p[1] - y * p[0]) * sin + z * dot,
    ]
}
