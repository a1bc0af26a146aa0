//! Files to domain and back: each returns a thing or a sentence.

pub mod project;
pub mod settings;
