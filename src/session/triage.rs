//! Triage: components over the frames of the run, decided one by one, most doubtful first.
//!
//! A decision is an ordinary edit: one undo step, one transaction. It is recorded also where it changes no pixel (a
//! component rejected on a blank sheet), so that it outlives the session and no later acceptance brings it back.

use std::collections::HashSet;
use std::sync::Arc;

use super::Session;
use super::browse::Shown;
use super::job::{FrameKey, Job, LoadedLabels, Predicted, Proposals, Side};
use super::second::Against;
use crate::domain::components::components;
use crate::domain::conflict;
use crate::domain::frame::{Frame, bad};
use crate::domain::grid::{Grid, Pixel, PixelRect};
use crate::domain::labels::{Class, Edit, History, Review, Sheet};
use crate::domain::packed::Packed;
use crate::domain::queue::{Candidate, Opinion, Order, Origin, Queue, candidates};

/// Frames whose predictions are asked for at once.
const AT_ONCE: usize = 32;
/// The next candidates whose frames are read ahead.
const READ_AHEAD: usize = 24;
/// A candidate is shown at this zoom at most and at least, screen points per pixel.
const ZOOM: std::ops::RangeInclusive<f32> = 3.0..=22.0;
/// Points on screen that a candidate and what is around it shall fill.
const EXTENT: f32 = 440.0;

/// What a curator says of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its pixels are what is proposed.
    Accept,
    /// Its pixels are background.
    Reject,
    /// Its pixels are artifact.
    Artifact,
    /// No decision; it comes again when triage is opened anew.
    Skip,
}

impl Verdict {
    pub const ALL: [Self; 4] = [Self::Accept, Self::Reject, Self::Artifact, Self::Skip];

    /// As the history calls the edit.
    const fn tool(self) -> &'static str {
        match self {
            Self::Accept => "triage: accepted",
            Self::Reject => "triage: rejected",
            Self::Artifact => "triage: artifact",
            Self::Skip => "triage: skipped",
        }
    }
}

/// What the curator wants of triage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriageCommand {
    Show(bool),
    Decide(Verdict),
    /// Takes the last decision back and shows its component again.
    TakeBack,
    Order(Order),
    WithArtifact(bool),
    /// Looks at the one that stands so far behind the first in the queue.
    Pick(usize),
}

/// A decision that was made.
#[derive(Clone, Debug)]
pub struct Done {
    pub candidate: Arc<Candidate>,
    pub verdict: Verdict,
    /// `None` where it was skipped.
    edit: Option<Arc<Edit>>,
}

/// The queue and where the curator is in it.
#[derive(Clone, Debug, Default)]
pub struct Triage {
    pub is_on: bool,
    /// Artifacts are decided too.
    pub with_artifact: bool,
    pub queue: Queue,
    pub current: Option<Arc<Candidate>>,
    /// In the order in which they were decided.
    pub done: Vec<Done>,
    /// Frames whose candidates are there or asked for.
    gathered: HashSet<usize>,
    /// Answers that are under way: the queue is looked at when all are there.
    awaited: usize,
    /// Frames whose labels were asked for.
    labels_asked: HashSet<usize>,
    /// The last decision is taken back as soon as its frame is shown.
    takes_back: bool,
    serial: u64,
}

impl Triage {
    /// How many frames have been searched.
    pub fn frames(&self) -> usize {
        self.gathered.len()
    }

    /// Whether candidates may still come from frames that were asked for.
    pub fn is_searching(&self) -> bool {
        self.awaited > 0 || !self.labels_asked.is_empty()
    }

    /// How many decisions were made, without those that were put off.
    pub fn decisions(&self) -> usize {
        let decided = |done: &&Done| done.verdict != Verdict::Skip;
        self.done.iter().filter(decided).count()
    }
}

impl Session {
    pub(super) fn do_triage(&mut self, command: TriageCommand) {
        match command {
            TriageCommand::Show(on) => self.show_triage(on),
            TriageCommand::Decide(verdict) => self.decide(verdict),
            TriageCommand::TakeBack => self.take_back(),
            TriageCommand::Order(order) => {
                if order != self.triage.queue.order {
                    self.triage.queue.order = order;
                    self.restart_triage();
                }
            }
            TriageCommand::WithArtifact(on) => {
                self.triage.with_artifact = on;
                self.restart_triage();
            }
            TriageCommand::Pick(place) => self.pick_candidate(place),
        }
    }

    pub(super) fn triages_by_disagreement(&self) -> bool {
        self.triage.is_on && self.triage.queue.order == Order::Disagreement
    }

    pub(super) fn triages_conflicts(&self) -> bool {
        self.triage.is_on && self.triage.queue.order == Order::Conflict
    }

    fn show_triage(&mut self, on: bool) {
        self.triage.is_on = on;
        self.triage.done.clear();
        self.restart_triage();
    }

    /// Another run is open: nothing of the old queue is true.
    pub(super) fn forget_triage(&mut self) {
        self.triage.done.clear();
        self.empty_queue();
    }

    pub(super) fn restart_triage_if(&mut self, order: Order) {
        if self.triage.queue.order == order {
            self.restart_triage();
        }
    }

    /// Empties the queue and fills it anew from what is predicted.
    pub(super) fn restart_triage(&mut self) {
        self.empty_queue();
        if !self.triage.is_on {
            return;
        }
        if self.triages_conflicts() {
            return self.ask_conflicts();
        }
        let mut known: Vec<usize> = self.predictions.keys().copied().collect();
        known.sort_unstable();
        for number in known {
            self.gather(number);
        }
        self.ask_predictions();
    }

    fn empty_queue(&mut self) {
        let triage = &mut self.triage;
        triage.queue.clear();
        triage.current = None;
        triage.gathered.clear();
        triage.labels_asked.clear();
        triage.awaited = 0;
        triage.takes_back = false;
        triage.serial += 1;
    }

    /// What a frame would be decided by cannot be had: it is not asked for again.
    pub(super) fn give_up_gathering(&mut self, number: usize) {
        self.triage.gathered.insert(number);
    }

    /// Frames whose candidates are not in the queue yet, from the selected one on, some of them at once.
    pub(super) fn lacking(&self) -> impl Iterator<Item = usize> + '_ {
        let (count, from) = (self.rows.len(), self.selected);
        let all = (from..count).chain(0..from.min(count));
        all.filter(|number| self.lacks(*number)).take(AT_ONCE)
    }

    pub(super) fn is_lacking(&self) -> bool {
        self.lacking().next().is_some()
    }

    fn lacks(&self, number: usize) -> bool {
        self.triage.is_on && !self.triage.gathered.contains(&number) && self.is_searched(number)
    }

    /// Whether a frame has anything to decide: what a person vouches for is asked again only against its own labels.
    fn is_searched(&self, number: usize) -> bool {
        let review = self.rows.get(number).map(|row| row.review);
        if self.triages_conflicts() {
            matches!(review, Some(Review::Flagged | Review::Started))
        } else if self.triages_by_disagreement() && self.second.against == Against::Label {
            !matches!(review, None | Some(Review::Untouched))
        } else {
            !matches!(review, None | Some(Review::Confirmed))
        }
    }

    /// Asks for the candidates of a frame, if all that they are made of is there.
    pub(super) fn gather(&mut self, number: usize) {
        if !self.lacks(number) {
            return;
        }
        let (Some(key), Some(net)) = (self.key(number), self.predictions.get(&number)) else {
            return;
        };
        let net = net.clone();
        let other = match (self.triage.queue.order, &self.second.against) {
            (Order::Conflict, _) => return,
            (Order::Margin, _) | (Order::Disagreement, Against::Listed) => None,
            (Order::Disagreement, Against::Label) => {
                let shown = self.shown.as_ref().filter(|shown| shown.key == key);
                match shown {
                    Some(shown) => Some(Side::Label(shown.sheet.clone())),
                    None => return self.ask_labels_of(key),
                }
            }
            (Order::Disagreement, Against::Net(_) | Against::Finder(_)) => {
                match self.second.predictions.get(&number) {
                    Some(second) => Some(Side::Predicted(second.clone())),
                    None => return,
                }
            }
        };
        self.push_gather_net(key, net, other);
    }

    fn push_gather_net(&mut self, key: FrameKey, net: Arc<Predicted>, other: Option<Side>) {
        let with_artifact = self.triage.with_artifact;
        let proposals = Proposals::Net {
            net,
            other,
            with_artifact,
        };
        self.push_gather(key, proposals);
    }

    fn push_gather(&mut self, key: FrameKey, proposals: Proposals) {
        self.triage.gathered.insert(key.number);
        self.triage.awaited += 1;
        self.jobs.push(Job::Gather {
            serial: self.triage.serial,
            key,
            proposals,
        });
    }

    /// Asks for the labels of frames that may have been merged, some at once; what is on screen is known.
    fn ask_conflicts(&mut self) {
        let lacking: Vec<usize> = self.lacking().collect();
        for number in lacking {
            let Some(key) = self.key(number) else {
                continue;
            };
            match self.shown.as_ref().filter(|shown| shown.key == key) {
                Some(shown) => {
                    let (sheet, history) = (shown.sheet.clone(), shown.history.clone());
                    self.gather_conflicts(key, &sheet, &history);
                }
                None => self.ask_labels_of(key),
            }
        }
    }

    fn gather_conflicts(&mut self, key: FrameKey, sheet: &Arc<Sheet>, history: &History) {
        match history.since_merge() {
            Some(since) => {
                let (sheet, since) = (sheet.clone(), since.to_vec());
                self.push_gather(key, Proposals::Merge { sheet, since });
            }
            None => self.give_up_gathering(key.number),
        }
    }

    fn ask_labels_of(&mut self, key: FrameKey) {
        let Some(info) = self.run.as_ref().map(|open| open.info.clone()) else {
            return;
        };
        if self.triage.labels_asked.insert(key.number) {
            let (width, height) = (info.width, info.height);
            self.jobs.push(Job::LoadLabels { key, width, height });
        }
    }

    /// Labels that were read: of the frame on screen, or of one that is compared with them.
    pub(super) fn labels_for_triage(
        &mut self,
        key: FrameKey,
        result: &Result<LoadedLabels, String>,
    ) {
        if self.key(key.number) != Some(key) || !self.triage.labels_asked.remove(&key.number) {
            return;
        }
        let Ok(labels) = result else {
            self.give_up_gathering(key.number);
            return self.go_on_searching();
        };
        if self.triages_conflicts() {
            if self.lacks(key.number) {
                self.gather_conflicts(key, &labels.sheet, &labels.history);
            }
            return self.go_on_searching();
        }
        let net = self.predictions.get(&key.number).cloned();
        if let Some(net) = net.filter(|_| self.lacks(key.number)) {
            self.push_gather_net(key, net, Some(Side::Label(labels.sheet.clone())));
        }
    }

    /// The next frames are asked for when the last ones have answered.
    fn go_on_searching(&mut self) {
        if self.triages_conflicts() && !self.triage.is_searching() {
            self.ask_conflicts();
        }
    }

    pub(super) fn gathered(
        &mut self,
        key: FrameKey,
        serial: u64,
        result: Result<Vec<Arc<Candidate>>, String>,
    ) {
        if serial != self.triage.serial || self.key(key.number) != Some(key) {
            return;
        }
        self.triage.awaited = self.triage.awaited.saturating_sub(1);
        let candidates = result.unwrap_or_else(|reason| {
            self.notice(reason);
            Vec::new()
        });
        let decided: HashSet<PixelRect> = (self.triage.done.iter().map(|done| &done.candidate))
            .chain(&self.triage.current)
            .filter(|candidate| candidate.frame == key.number)
            .map(|candidate| candidate.rect)
            .collect();
        let is_open = |candidate: &Arc<Candidate>| !decided.contains(&candidate.rect);
        self.triage
            .queue
            .add(candidates.into_iter().filter(is_open));
        if self.shown.as_ref().is_some_and(|shown| shown.key == key) {
            self.drop_decided();
        }
        self.go_on_searching();
        let is_all_there = !self.triage.is_searching();
        if self.triage.current.is_none() && is_all_there {
            self.next_candidate();
        }
    }

    /// Drops the shown frame's candidates that its history has decided already.
    fn drop_decided(&mut self) {
        // Of conflicts the decided ones are left out where they are found: older decisions are on either side.
        if self.triages_conflicts() {
            return;
        }
        let Some(shown) = &self.shown else { return };
        let number = shown.key.number;
        let decided: Vec<PixelRect> = decisions_of(shown).map(|edit| edit.rect).collect();
        let is_open = |candidate: &Candidate| {
            let covered = |rect: &PixelRect| {
                candidate.rect.intersect(rect).area() * 2 > candidate.rect.area()
            };
            candidate.frame != number || !decided.iter().any(covered)
        };
        self.triage.queue.retain(is_open);
        self.triage.current = self.triage.current.take_if(|current| is_open(current));
    }

    /// The frame that the current candidate is on, or that a decision is taken back on, is shown.
    pub(super) fn triage_frame_shown(&mut self) {
        if !self.triage.is_on {
            return;
        }
        if std::mem::take(&mut self.triage.takes_back) {
            return self.take_back();
        }
        let had_current = self.triage.current.is_some();
        self.drop_decided();
        match &self.triage.current {
            // Whoever pages away from it looks at something else first.
            Some(current) if current.frame == self.selected => self.focus(),
            None if had_current => self.next_candidate(),
            _ => {}
        }
    }

    /// Goes on to the most urgent candidate.
    fn next_candidate(&mut self) {
        self.triage.current = None;
        while let Some(candidate) = self.triage.queue.take_first() {
            // A frame may have been confirmed since.
            if self.is_searched(candidate.frame) {
                self.triage.current = Some(candidate);
                break;
            }
        }
        self.focus();
    }

    /// Shows the current candidate: its frame, centred and as large as it can be.
    fn focus(&mut self) {
        let Some(candidate) = self.triage.current.clone() else {
            return;
        };
        if candidate.frame != self.selected {
            self.go_to(candidate.frame);
            // The frames of the next candidates are likelier than the neighbours.
            let next = self.triage.queue.iter().take(READ_AHEAD);
            let mut numbers: Vec<usize> = Vec::new();
            for number in next.map(|candidate| candidate.frame) {
                if number != candidate.frame && !numbers.contains(&number) {
                    numbers.push(number);
                }
            }
            let keys: Vec<FrameKey> = numbers.into_iter().filter_map(|n| self.key(n)).collect();
            if !keys.is_empty() {
                self.jobs.push(Job::ReadAhead(keys));
            }
            return;
        }
        if self.pending.is_waiting() {
            return;
        }
        let rect = candidate.rect;
        let side = rect.width().max(rect.height()) as f32 + 12.0;
        let x = (rect.x0 + rect.x1) as f32 / 2.0;
        let y = (rect.y0 + rect.y1) as f32 / 2.0;
        self.look_at(x, y, (EXTENT / side).clamp(*ZOOM.start(), *ZOOM.end()));
    }

    fn pick_candidate(&mut self, place: usize) {
        let Some(wanted) = self.triage.queue.iter().nth(place).cloned() else {
            return;
        };
        let before = self.triage.current.take();
        self.triage.current = self.triage.queue.take(&wanted);
        self.triage.queue.add(before);
        self.focus();
    }

    fn decide(&mut self, verdict: Verdict) {
        let Some(candidate) = self.triage.current.clone() else {
            return;
        };
        if !self.is_searched(candidate.frame) {
            return self.next_candidate();
        }
        if verdict == Verdict::Skip {
            self.put_away(candidate, verdict, None);
            return self.next_candidate();
        }
        let is_here = self.selected == candidate.frame;
        if !is_here {
            // The curator has paged away: what is decided must be seen.
            return self.focus();
        }
        // While the frame is being read a key does nothing: what is not seen cannot be decided.
        if self.pending.is_waiting() {
            return;
        }
        let all = |class: Class| vec![class.code(); candidate.pixels().count()];
        let codes = match (verdict, &candidate.conflict) {
            (Verdict::Artifact, _) => all(Class::Artifact),
            (Verdict::Accept, Some(conflict)) => conflict.theirs.clone(),
            (Verdict::Accept, None) => all(candidate.class),
            (Verdict::Reject | Verdict::Skip, Some(conflict)) => conflict.mine.clone(),
            (Verdict::Reject | Verdict::Skip, None) => all(Class::Background),
        };
        let owner = match candidate.origin {
            Origin::Net => self.net.as_ref(),
            Origin::Other => self.second.info.as_ref(),
            Origin::Curators => None,
        };
        let net = owner.map(|net| net.digest.clone());
        let Some(edit) = self.decide_pixels(&candidate, &codes, verdict.tool(), net) else {
            return;
        };
        self.put_away(candidate, verdict, Some(edit));
        self.next_candidate();
    }

    fn put_away(&mut self, candidate: Arc<Candidate>, verdict: Verdict, edit: Option<Arc<Edit>>) {
        self.triage.current = None;
        self.triage.done.push(Done {
            candidate,
            verdict,
            edit,
        });
    }

    /// Gives the candidate's valid pixels these classes, in raster order, as one edit that is recorded also when none of them changes.
    fn decide_pixels(
        &mut self,
        candidate: &Candidate,
        codes: &[u8],
        tool: &str,
        net: Option<String>,
    ) -> Option<Arc<Edit>> {
        self.finish_gesture();
        if let Err(reason) = self.paintable() {
            self.refuse(reason);
            return None;
        }
        let shown = self.shown.as_mut()?;
        let rect = candidate.rect.intersect(&shown.sheet.rect());
        let before = Packed::of(&shown.sheet, rect);
        let sheet = Arc::make_mut(&mut shown.sheet);
        for (at, code) in candidate.pixels().zip(codes) {
            let bits = shown.loaded.frame.bad.get(at.x, at.y);
            if bits.is_some_and(|bits| bits & bad::NOT_VALID == 0)
                && let Some(cell) = sheet.get_mut(at.x, at.y)
            {
                *cell = *code;
            }
        }
        let edit = Arc::new(Edit {
            rect,
            before,
            after: Packed::of(sheet, rect),
            tool: tool.to_owned(),
        });
        self.sheet_changed(rect);
        self.keep(edit.clone(), net);
        Some(edit)
    }

    /// Takes the last decision back; its frame is shown first.
    fn take_back(&mut self) {
        let Some(last) = self.triage.done.last() else {
            return;
        };
        let number = last.candidate.frame;
        if last.edit.is_none() {
            let Some(last) = self.triage.done.pop() else {
                return;
            };
            return self.reopen(last.candidate);
        }
        let is_here = self.shown.as_ref().is_some_and(|s| s.key.number == number);
        if is_here && self.selected == number && !self.pending.is_waiting() {
            self.undo();
        } else {
            self.triage.takes_back = true;
            self.go_to(number);
        }
    }

    /// Makes a candidate the current one again.
    fn reopen(&mut self, candidate: Arc<Candidate>) {
        let before = self.triage.current.replace(candidate);
        self.triage.queue.add(before);
        self.focus();
    }

    /// An edit of the shown frame was undone or done again: decisions among them follow.
    pub(super) fn triage_travelled(&mut self, edit: &Edit, back: bool) {
        let Some(number) = self.shown.as_ref().map(|shown| shown.key.number) else {
            return;
        };
        if !self.triage.is_on {
            return;
        }
        if !edit.is_decision() {
            if edit.tool.starts_with("accept") {
                self.gather_again(number);
            }
            return;
        }
        if back {
            let is_it = |done: &Done| {
                done.candidate.frame == number
                    && done
                        .edit
                        .as_ref()
                        .is_some_and(|made| made.rect == edit.rect)
            };
            if let Some(place) = self.triage.done.iter().rposition(is_it) {
                let done = self.triage.done.remove(place);
                self.reopen(done.candidate);
            } else {
                self.gather_again(number);
            }
            return;
        }
        let is_it = |one: &&Arc<Candidate>| one.frame == number && one.rect == edit.rect;
        let again = (self.triage.current.iter().chain(self.triage.queue.iter()))
            .find(is_it)
            .cloned();
        let verdict = Verdict::ALL.into_iter().find(|v| v.tool() == edit.tool);
        if let (Some(candidate), Some(verdict)) = (again, verdict) {
            let was_current = self.triage.queue.take(&candidate).is_none();
            let current = self.triage.current.take();
            self.put_away(candidate, verdict, Some(Arc::new(edit.clone())));
            if was_current {
                self.next_candidate();
            } else {
                self.triage.current = current;
            }
        }
    }

    /// The prediction of the shown frame was taken over: there is nothing of the net's left to decide in it.
    pub(super) fn triage_accepted(&mut self, class: Option<Class>) {
        let Some(number) = self.shown.as_ref().map(|shown| shown.key.number) else {
            return;
        };
        let stays = |candidate: &Candidate| {
            candidate.frame != number
                || candidate.origin != Origin::Net
                || class.is_some_and(|class| class != candidate.class)
        };
        self.triage.queue.retain(stays);
        if self.triage.current.as_ref().is_some_and(|c| !stays(c)) {
            self.next_candidate();
        }
    }

    /// Fills the queue with a frame's candidates anew.
    fn gather_again(&mut self, number: usize) {
        self.triage
            .queue
            .retain(|candidate| candidate.frame != number);
        self.triage.gathered.remove(&number);
        if self.triages_conflicts() {
            return self.ask_conflicts();
        }
        self.gather(number);
    }
}

impl Proposals {
    /// What a curator may have to decide of a frame that has this place in the run.
    pub fn found(&self, frame: &Frame, number: usize) -> Vec<Arc<Candidate>> {
        fn maps(predicted: &Predicted) -> Opinion<'_> {
            Opinion::Maps {
                classes: &predicted.classes,
                peak: &predicted.peak,
                artifact: &predicted.artifact,
            }
        }
        let found = match self {
            Self::Net {
                net,
                other,
                with_artifact,
            } => {
                let other = match other {
                    Some(Side::Label(sheet)) => Some(Opinion::Label(sheet)),
                    Some(Side::Predicted(predicted)) => Some(maps(predicted)),
                    Some(Side::Listed(_)) | None => None,
                };
                candidates(frame, maps(net), other, *with_artifact)
            }
            Self::Merge { sheet, since } => conflict::open(frame, sheet, since),
        };
        let placed = found.into_iter().map(|candidate| Candidate {
            frame: number,
            ..candidate
        });
        placed.map(Arc::new).collect()
    }
}

/// The applied edits of a frame that are decisions.
fn decisions_of(shown: &Shown) -> impl Iterator<Item = &Arc<Edit>> {
    let done = shown.history.edits.iter().take(shown.history.done);
    done.filter(|edit| edit.is_decision())
}

/// Marks the pixels of a prediction whose components a person has decided: no acceptance changes them.
///
/// A component is meant by a decision when most of it lies in the decision's rectangle.
pub(super) fn mark_decided(shown: &Shown, classes: &Sheet, marked: &mut Grid<bool>) {
    for edit in decisions_of(shown) {
        let rect = edit.rect;
        let around = PixelRect::new(
            rect.x0.saturating_sub(rect.width()),
            rect.y0.saturating_sub(rect.height()),
            rect.x1 + rect.width(),
            rect.y1 + rect.height(),
        );
        let around = around.intersect(&classes.rect());
        let cells = classes.copy_rect(around);
        let Some(part) = Sheet::from_cells(around.width(), around.height(), cells) else {
            continue;
        };
        for class in [Class::Peak, Class::Artifact] {
            for component in components(&part, class.code()) {
                let place = |at: Pixel| Pixel {
                    x: at.x + around.x0,
                    y: at.y + around.y0,
                };
                let inside = component.pixels().filter(|at| rect.contains(place(*at)));
                if inside.count() * 2 <= component.count {
                    continue;
                }
                for at in component.pixels().map(place) {
                    if let Some(cell) = marked.get_mut(at.x, at.y) {
                        *cell = true;
                    }
                }
            }
        }
    }
}
