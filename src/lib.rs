//! PeakNet Studio: find Bragg peaks with a small network, correct its labels by painting, retrain.

pub mod app;
pub mod domain;
pub mod fs;
pub mod net;
pub mod session;
