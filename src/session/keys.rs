//! The user's own keys as they are kept: names of actions and keys in words. What they mean is the window's affair.

use std::path::PathBuf;

use super::job::Job;
use super::{Notice, NoticeKind, Session};

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
    /// Why nothing could be read.
    pub error: Option<String>,
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
        let wrong = file.problems.into_iter().map(|(line, why)| {
            format!(
                "Line {line} of the keys is left out ({why}); correct or delete it: {}",
                file.path.display()
            )
        });
        let notices = file.error.into_iter().chain(wrong).map(|text| Notice {
            text,
            cure: None,
            kind: NoticeKind::OfUser,
        });
        self.notices.extend(notices);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::frame::RunInfo;
    use crate::session::command::{Command, RunRequest};
    use crate::session::job::Report;

    #[test]
    fn what_is_wrong_with_the_keys_is_still_said_when_a_run_is_open() {
        let mut session = Session::new();
        session.apply(Command::Open(Box::new(RunRequest {
            paths: vec![PathBuf::from("run.cxi")],
            ..RunRequest::default()
        })));
        session.absorb(Report::Keys(KeyFile {
            problems: vec![(7, "no action is called brsh".to_owned())],
            ..KeyFile::default()
        }));
        session.absorb(Report::RunOpened {
            run: 1,
            result: Ok(Arc::new(RunInfo::default())),
        });
        assert!(session.run.is_some());
        assert!(session.notices[0].text.starts_with("Line 7 of the keys"));
    }
}
