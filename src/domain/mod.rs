//! What diffraction frames and labels are; knows no toolkit, no file and no thread.

pub mod geometry;
pub mod grid;
pub mod frame;
pub mod labels;
pub mod peaks;
