//! PeakNet Studio: find Bragg peaks with a small network, correct its labels by painting, retrain.

pub mod domain;
pub mod fs;
pub mod io;
