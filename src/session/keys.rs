//! The user's own keys as they are kept: names of actions and keys in words. What they mean is the window's affair.

use std::path::PathBuf;

use super::Session;
use super::job::Job;

/// One line of the user's keys: an action, or `preset`, and what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLine {
    /// Of the file, from 1; `None` for what was changed in the window since.
    pub number: Option<usize>,
    pub name: String,
    pub keys: Vec<String>,
}

/// What was read at the start.
#[derive(Clone, Debug, Default)]
pub struct KeyFile {
    pub path: PathBuf,
    pub lines: Vec<KeyLine>,
    /// Lines that say nothing, and why.
    pub problems: Vec<(usize, String)>,
}

/// A line that is to be as it says; `None` = it goes, the preset holds again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    pub name: String,
    pub keys: Option<Vec<String>>,
}

impl Session {
    pub(super) fn change_keys(&mut self, changes: Vec<KeyChange>) {
        for change in &changes {
            self.keys.retain(|line| line.name != change.name);
            self.keys.extend(change.keys.clone().map(|keys| KeyLine {
                number: None,
                name: change.name.clone(),
                keys,
            }));
        }
        self.jobs.push(Job::StoreKeys(changes));
    }

    pub(super) fn keys_read(&mut self, file: KeyFile) {
        self.keys = file.lines;
        for (line, why) in file.problems {
            self.notice(format!(
                "Line {line} of the keys is left out ({why}); correct or delete it: {}",
                file.path.display()
            ));
        }
    }
}
