//! PeakNet Studio: find Bragg peaks with a small network, correct its labels by painting, retrain.

pub mod app;
pub mod cli;
pub mod domain;
pub mod fs;
pub mod io;
pub mod memory;
pub mod net;
pub mod session;
pub mod workers;
