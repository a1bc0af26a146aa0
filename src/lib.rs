//! PeakNet Studio: find Bragg peaks with a small network, correct its labels by painting, retrain.

pub mod app;
pub mod domain;
pub mod io;
pub mod session;
