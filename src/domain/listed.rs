//! What another program says of a frame: peaks that it found, reflections that it predicted.

/// A reflection that an indexing program predicted and integrated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reflection {
    /// Continuous position in the raw slab.
    pub x: f32,
    pub y: f32,
    pub hkl: [i32; 3],
    /// Integrated intensity and its sigma, in the program's units.
    pub intensity: f32,
    pub sigma: f32,
}

/// All that is said of one frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// Found peaks, continuous positions in the raw slab.
    pub found: Vec<(f32, f32)>,
    /// The reflections of all crystals in the frame.
    pub predicted: Vec<Reflection>,
    /// Whether the frame was indexed; `None` for plain peak lists.
    pub is_indexed: Option<bool>,
}
