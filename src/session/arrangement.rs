//! How the user has arranged the window: kept between two starts.

use super::Session;
use super::job::Job;
use crate::domain::columns::Column;

/// What the user may move, choose and sort; `None` = as the program has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrangement {
    pub is_dark: Option<bool>,
    /// Widths of the frame table and of the inspector, points.
    pub table_width: Option<f32>,
    pub inspector_width: Option<f32>,
    /// Columns of the frame table.
    pub columns: Option<Vec<Column>>,
    pub has_thumbnails: bool,
    /// What the frame table is sorted by, and whether the largest comes first.
    pub sort: Option<(Column, bool)>,
}

impl Session {
    /// Takes over what was kept at the last start.
    pub(super) fn arrangement_read(&mut self, kept: Arrangement) {
        if let Some((column, is_descending)) = kept.sort {
            self.sort_frames_by(column, is_descending);
        }
        self.arrangement = Some(kept);
    }

    /// Keeps a new arrangement; without one from the last start there is none to keep.
    pub(super) fn arrange(&mut self, new: Arrangement) {
        if self.arrangement.as_ref().is_some_and(|old| *old != new) {
            self.arrangement = Some(new.clone());
            self.jobs.push(Job::StoreArrangement(Box::new(new)));
        }
    }
}
