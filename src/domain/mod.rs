//! What diffraction frames and labels are; knows no toolkit, no file and no thread.

pub mod assembly;
pub mod breakdown;
pub mod brush;
pub mod calibrant;
pub mod components;
pub mod doubt;
pub mod finders;
pub mod frame;
pub mod geometry;
pub mod grid;
pub mod grow;
pub mod labels;
pub mod labels_rule;
pub mod listed;
pub mod near_truth;
pub mod peaks;
pub mod radial;
pub mod reshape;
pub mod rings;
pub mod score;
pub mod sector;
pub mod simulate;
pub mod suspects;
pub mod threshold;
pub mod tone;
