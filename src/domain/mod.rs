//! What diffraction frames and labels are; knows no toolkit, no file and no thread.

pub mod agreement;
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
pub mod incoming;
pub mod labels;
pub mod labels_rule;
pub mod listed;
pub mod near_truth;
pub mod peaks;
pub mod radial;
pub mod rings;
pub mod score;
pub mod simulate;
pub mod suspects;
pub mod tone;
