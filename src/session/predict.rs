//! Nets and what they say: predicted ahead of the curator, kept within bounds, dropped when late.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::Session;
use super::job::{Calibration, FrameKey, Job, NetEntry, NetInfo, Predicted};
use crate::domain::calibrant::Calibrant;
use crate::domain::finders::Finder;

/// Predictions kept in memory, in bytes.
const KEPT_BYTES: usize = 512 << 20;
/// How many frames are predicted ahead of the curator.
pub(super) const AHEAD: usize = 4;

impl Session {
    /// The prediction of the frame on screen, by the net that is loaded now.
    pub fn shown_prediction(&self) -> Option<&Arc<Predicted>> {
        self.predictions.get(&self.shown.as_ref()?.key.number)
    }

    pub(super) fn nets_listed(&mut self, nets: Vec<NetEntry>) {
        self.nets = nets;
        if self.net.is_none()
            && !self.net_loading
            && let Some(first) = self.nets.first()
        {
            let path = first.path.clone();
            self.choose_net(path);
        }
    }

    pub(super) fn choose_net(&mut self, path: PathBuf) {
        self.net_serial += 1;
        self.net_loading = true;
        self.jobs.push(Job::LoadNet {
            serial: self.net_serial,
            path,
        });
    }

    pub(super) fn choose_finder(&mut self, finder: Finder) {
        self.net_serial += 1;
        self.net_loading = true;
        self.jobs.push(Job::UseFinder {
            serial: self.net_serial,
            finder,
        });
    }

    /// A damaged net is said, and the previous one stays in use.
    pub(super) fn net_loaded(&mut self, serial: u64, result: Result<NetInfo, String>) {
        if serial != self.net_serial {
            return;
        }
        self.net_loading = false;
        match result {
            Ok(net) => {
                self.net = Some(net);
                self.forget_predictions();
                self.ask_predictions();
            }
            Err(reason) => self.notice(reason),
        }
    }

    fn forget_predictions(&mut self) {
        self.predictions.clear();
        self.prediction_order.clear();
        for row in &mut self.rows {
            row.peaks = None;
            row.artifact_fraction = None;
            row.doubt = None;
            row.disagreement = None;
        }
        self.calibration = None;
        self.restart_triage();
    }

    pub(super) fn set_predict(&mut self, on: bool) {
        self.predict = on;
        self.ask_predictions();
    }

    pub(super) fn set_predict_all(&mut self, on: bool) {
        self.predict_all = on;
        self.ask_predictions();
    }

    /// Asks for the selected frame first, then those ahead, then (if wanted) all that are unknown.
    pub(super) fn ask_predictions(&mut self) {
        self.ask_second();
        let Some(net) = self.net.as_ref().map(|net| net.serial) else {
            return;
        };
        let mut frames = Vec::new();
        if self.predict {
            let near = self.selected..(self.selected + 1 + AHEAD).min(self.rows.len());
            frames.extend(near.filter(|number| !self.predictions.contains_key(number)));
            if self.predict_all {
                let rest = (self.selected..self.rows.len()).chain(0..self.selected);
                let unknown = rest.filter(|&i| self.rows.get(i).is_some_and(|r| r.peaks.is_none()));
                for number in unknown.take(32) {
                    if !frames.contains(&number) {
                        frames.push(number);
                    }
                }
            }
        }
        let lacking = self.lacking().filter(|_| !self.triages_conflicts());
        for number in lacking.filter(|number| !self.predictions.contains_key(number)) {
            if !frames.contains(&number) {
                frames.push(number);
            }
        }
        let frames: Vec<FrameKey> = frames.into_iter().filter_map(|n| self.key(n)).collect();
        self.predicting = frames.len();
        self.jobs.push(Job::Predict { net, frames });
    }

    pub(super) fn predicted(
        &mut self,
        key: FrameKey,
        net: u64,
        result: Result<Arc<Predicted>, String>,
    ) {
        let current = self.net.as_ref().is_some_and(|info| info.serial == net)
            && self.key(key.number) == Some(key);
        if !current {
            return;
        }
        self.predicting = self.predicting.saturating_sub(1);
        let predicted = match result {
            Ok(predicted) => predicted,
            Err(reason) => {
                self.give_up_gathering(key.number);
                self.notice(reason);
                return self.ask_lacking();
            }
        };
        if let Some(row) = self.rows.get_mut(key.number) {
            row.peaks = Some(predicted.peaks.len() as u32);
            row.artifact_fraction = Some(predicted.artifact_fraction);
            row.doubt = Some(predicted.doubt);
        }
        self.prediction_order.retain(|&n| n != key.number);
        self.prediction_order.push(key.number);
        self.predictions.insert(key.number, predicted);
        drop_old(
            &mut self.predictions,
            &mut self.prediction_order,
            self.selected,
        );
        self.gather(key.number);
        if self.shown.as_ref().is_some_and(|shown| shown.key == key) {
            self.calibration = None;
            self.ask_calibration();
        }
        if self.predicting == 0 && self.predict_all && self.rows.iter().any(|r| r.peaks.is_none()) {
            self.ask_predictions();
        } else {
            self.ask_lacking();
        }
    }

    /// Goes on with the frames that triage lacks when nothing else is awaited.
    fn ask_lacking(&mut self) {
        if self.predicting == 0 && !self.triages_conflicts() && self.is_lacking() {
            self.ask_predictions();
        }
    }

    pub(super) fn set_calibrant(&mut self, calibrant: Option<Calibrant>) {
        self.calibrant = calibrant;
        self.calibration = None;
        self.ask_calibration();
    }

    /// Whether rings can be computed: wavelength, distance, centre and pixel size are known.
    pub fn places_rings(&self) -> bool {
        self.run
            .as_ref()
            .is_some_and(|open| open.info.geometry.places_rings())
    }

    pub(super) fn ask_calibration(&mut self) {
        let (Some(calibrant), Some(shown), Some(open)) = (self.calibrant, &self.shown, &self.run)
        else {
            return;
        };
        if !self.places_rings() {
            return self.notice(
                "The rings of a calibrant need wavelength, distance, beam centre and pixel size; give them as options or \
                 with --geometry.",
            );
        }
        let job = Job::Calibrate {
            key: shown.key,
            calibrant,
            frame: shown.loaded.frame.clone(),
            info: open.info.clone(),
            artifact: self.shown_prediction().map(|p| p.classes.clone()),
        };
        self.jobs.push(job);
    }

    pub(super) fn calibrated(&mut self, key: FrameKey, result: Result<Calibration, String>) {
        if self.shown.as_ref().is_none_or(|shown| shown.key != key) {
            return;
        }
        match result {
            Ok(calibration) => self.calibration = Some((key, calibration)),
            Err(reason) => self.notice(reason),
        }
    }
}

/// Forgets the predictions that were made longest ago, but none near the selected frame.
pub(super) fn drop_old(
    predictions: &mut HashMap<usize, Arc<Predicted>>,
    order: &mut Vec<usize>,
    selected: usize,
) {
    let mut bytes: usize = predictions.values().map(|p| p.bytes()).sum();
    let near = selected..selected + 1 + AHEAD;
    let mut index = 0;
    while bytes > KEPT_BYTES
        && let Some(&number) = order.get(index)
    {
        if near.contains(&number) {
            index += 1;
            continue;
        }
        order.remove(index);
        if let Some(old) = predictions.remove(&number) {
            bytes -= old.bytes();
        }
    }
}
