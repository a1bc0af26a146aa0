//! A second opinion beside the net: the label, another program's list, another net, a classical finder.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::Session;
use super::job::{FrameKey, Job, NetInfo, Predicted};
use super::predict::{AHEAD, drop_old};
use crate::domain::finders::Finder;
use crate::domain::queue::Order;

/// What the net is compared with.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Against {
    #[default]
    Label,
    /// The peak list or stream that was opened with the run.
    Listed,
    Net(PathBuf),
    Finder(Finder),
}

impl Against {
    /// Whether somebody has to predict for it.
    pub const fn predicts(&self) -> bool {
        matches!(self, Self::Net(_) | Self::Finder(_))
    }
}

/// The second net or finder, and what it says.
#[derive(Clone, Debug, Default)]
pub struct Second {
    pub against: Against,
    /// The net or finder once it is loaded.
    pub info: Option<NetInfo>,
    pub is_loading: bool,
    pub predictions: HashMap<usize, Arc<Predicted>>,
    prediction_order: Vec<usize>,
    /// Counts the second opinions of this session.
    serial: u64,
    /// Frames asked for and not answered yet.
    pub(super) predicting: usize,
}

impl Session {
    /// The name of what the net is compared with.
    pub fn against_name(&self) -> String {
        match &self.second.against {
            Against::Label => "label".to_owned(),
            Against::Listed => "listed peaks".to_owned(),
            Against::Finder(finder) => finder.name().to_owned(),
            Against::Net(path) => {
                let known = self.nets.iter().find(|entry| entry.path == *path);
                known.map_or_else(|| path.display().to_string(), |entry| entry.name.clone())
            }
        }
    }

    pub(super) fn set_against(&mut self, against: Against) {
        if against == self.second.against {
            return;
        }
        self.second = Second {
            against,
            serial: self.second.serial + 1,
            ..Second::default()
        };
        self.restart_triage_if(Order::Disagreement);
        self.ask_second();
    }

    /// What was predicted belongs to another run.
    pub(super) fn forget_second(&mut self) {
        self.second.predictions.clear();
        self.second.prediction_order.clear();
        self.second.predicting = 0;
    }

    /// Whether somebody looks at what the second net or finder says.
    fn wants_second(&self) -> bool {
        let is_looked_at = self.differences.is_on || self.triages_by_disagreement();
        is_looked_at && self.second.against.predicts()
    }

    /// Loads it when it is first looked at; then asks for the selected frame, those ahead, and those that triage lacks.
    pub(super) fn ask_second(&mut self) {
        if !self.wants_second() {
            return;
        }
        let serial = self.second.serial;
        if self.second.info.is_none() {
            if !self.second.is_loading {
                self.second.is_loading = true;
                let against = self.second.against.clone();
                self.jobs.push(Job::LoadSecond { serial, against });
            }
            return;
        }
        let ahead = if self.predict { AHEAD } else { 0 };
        let near = self.selected..(self.selected + 1 + ahead).min(self.rows.len());
        let is_known = |number: &usize| self.second.predictions.contains_key(number);
        let mut frames: Vec<usize> = near.filter(|number| !is_known(number)).collect();
        if self.triages_by_disagreement() {
            for number in self.lacking().filter(|number| !is_known(number)) {
                if !frames.contains(&number) {
                    frames.push(number);
                }
            }
        }
        let frames: Vec<FrameKey> = frames.into_iter().filter_map(|n| self.key(n)).collect();
        self.second.predicting = frames.len();
        self.jobs.push(Job::PredictSecond { serial, frames });
    }

    pub(super) fn second_loaded(&mut self, serial: u64, result: Result<NetInfo, String>) {
        if serial != self.second.serial {
            return;
        }
        self.second.is_loading = false;
        match result {
            Ok(info) => {
                self.second.info = Some(info);
                self.ask_second();
            }
            Err(reason) => {
                self.second.against = Against::Label;
                self.notice(reason);
            }
        }
    }

    pub(super) fn second_predicted(
        &mut self,
        key: FrameKey,
        serial: u64,
        result: Result<Arc<Predicted>, String>,
    ) {
        if serial != self.second.serial || self.key(key.number) != Some(key) {
            return;
        }
        self.second.predicting = self.second.predicting.saturating_sub(1);
        let predicted = match result {
            Ok(predicted) => predicted,
            Err(reason) => return self.notice(reason),
        };
        self.second.prediction_order.retain(|&n| n != key.number);
        self.second.prediction_order.push(key.number);
        self.second.predictions.insert(key.number, predicted);
        drop_old(
            &mut self.second.predictions,
            &mut self.second.prediction_order,
            self.selected,
        );
        self.gather(key.number);
        if self.second.predicting == 0 && self.triages_by_disagreement() && self.is_lacking() {
            self.ask_second();
        }
    }
}
