//! The thread that owns the loaded net, or the finder in its place: loads it, predicts the most wanted frames, measures peaks.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::desk::Desk;
use super::{Options, Shared};
use crate::domain::doubt::doubt;
use crate::domain::finders::{Finder, radius_bins};
use crate::domain::frame::{Frame, RunInfo, bad};
use crate::domain::grid::{Grid, PixelRect};
use crate::domain::labels::Class;
use crate::domain::peaks;
use crate::domain::peaks::circles::Circles;
use crate::domain::score::{self, Truth};
use crate::net::predict::Asked;
use crate::net::{Net, catalog};
use crate::session::job::{FrameKey, NetEntry, NetInfo, Predicted, Report};

#[derive(Default)]
pub struct Wanted {
    pub list: bool,
    pub source: Option<(u64, Choice)>,
    /// The net that `frames` are meant for.
    pub serial: u64,
    pub frames: VecDeque<FrameKey>,
    /// The second opinion, as the three above.
    pub second: Option<(u64, Choice)>,
    pub second_serial: u64,
    pub second_frames: VecDeque<FrameKey>,
    /// The two take turns, so that both have said something of the frame on screen before those ahead are looked at.
    pub is_seconds_turn: bool,
}

/// What shall predict.
pub enum Choice {
    Net(PathBuf),
    Finder(Finder),
}

/// What predicts.
enum Source {
    Net(Box<Net>),
    Finder(Finder),
}

/// Who shall load or predict.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    First,
    Second,
}

enum Work {
    List,
    Load(Who, u64, Choice),
    Predict(Who, u64, FrameKey),
}

pub fn start(shared: Arc<Shared>, options: Options) -> std::io::Result<Arc<Desk<Wanted>>> {
    let desk = Arc::new(Desk::new(Wanted::default()));
    let inbox = desk.clone();
    std::thread::Builder::new()
        .name("predict".to_owned())
        .spawn(move || {
            let mut first: Option<(u64, Source)> = None;
            let mut second: Option<(u64, Source)> = None;
            // Of the run that was searched last.
            let mut place = Place::default();
            let pool = background_pool();
            while let Some(work) = inbox.next(take) {
                match work {
                    Work::List => shared.report(Report::Nets(list(&options))),
                    Work::Load(who, serial, choice) => {
                        let result = match choice {
                            Choice::Net(path) => load(serial, path, &options),
                            Choice::Finder(finder) => Ok(use_finder(serial, finder)),
                        };
                        let source = match who {
                            Who::First => &mut first,
                            Who::Second => &mut second,
                        };
                        let result = result.map(|(info, loaded)| {
                            *source = Some((serial, loaded));
                            info
                        });
                        shared.report(match who {
                            Who::First => Report::NetLoaded { serial, result },
                            Who::Second => Report::SecondLoaded { serial, result },
                        });
                    }
                    Work::Predict(who, serial, key) => {
                        let source = match who {
                            Who::First => &first,
                            Who::Second => &second,
                        };
                        let loaded = source.as_ref().filter(|(loaded, _)| *loaded == serial);
                        let Some((_, source)) = loaded else { continue };
                        let (Some(cached), Some(run)) = (shared.frame(key), shared.run_of(key))
                        else {
                            continue;
                        };
                        if let Ok(cached) = &cached {
                            shared.measure(key, &cached.frame);
                        }
                        if place.run != key.run {
                            place = Place {
                                run: key.run,
                                ..Place::default()
                            };
                        }
                        let result = cached.and_then(|cached| match source {
                            Source::Net(net) => {
                                let circles = place.circles(&run.info);
                                let predict = || predict(net, &cached.frame, circles);
                                match &pool {
                                    Some(pool) => pool.install(predict),
                                    None => predict(),
                                }
                            }
                            Source::Finder(finder) => {
                                let bins = place.bins(&run.info);
                                Ok(find(finder, &cached.frame, bins, &run.info))
                            }
                        });
                        if who == Who::First
                            && let Ok(predicted) = &result
                            && let Ok(Some(listed)) = shared.listed(key)
                        {
                            shared.report(Report::Compared {
                                key,
                                net: serial,
                                disagreement: disagreement(&listed.found, predicted),
                            });
                        }
                        let result = result.map(Arc::new);
                        shared.report(match who {
                            Who::First => Report::Predicted {
                                key,
                                net: serial,
                                result,
                            },
                            Who::Second => Report::SecondPredicted {
                                key,
                                serial,
                                result,
                            },
                        });
                    }
                }
            }
        })?;
    Ok(desk)
}

/// Where the pixels of a run are, worked out when it is first asked for.
#[derive(Default)]
struct Place {
    run: u64,
    /// About the beam, where it is known.
    circles: std::cell::OnceCell<Option<Circles>>,
    /// Distances from the beam, or from the middle of the frame.
    bins: std::cell::OnceCell<Grid<u16>>,
}

impl Place {
    fn circles(&self, info: &RunInfo) -> &Option<Circles> {
        let fresh = || Circles::of(&info.geometry, info.width, info.height);
        self.circles.get_or_init(fresh)
    }

    fn bins(&self, info: &RunInfo) -> &Grid<u16> {
        let fresh = || radius_bins(&info.geometry, info.width, info.height);
        self.bins.get_or_init(fresh)
    }
}

/// 1 - F1 of what was found against the peaks of another program's list; 0 where both have none.
fn disagreement(listed: &[(f32, f32)], predicted: &Predicted) -> f32 {
    let truth: Vec<Truth> = listed
        .iter()
        .map(|(x, y)| Truth::of_snr(*x, *y, 0.0))
        .collect();
    let verdicts = score::compare(&truth, &score::positions(&predicted.peaks));
    let all = truth.len() + predicted.peaks.len();
    if all == 0 {
        return 0.0;
    }
    let agreed = verdicts.truth.iter().filter(|seen| **seen).count();
    1.0 - 2.0 * agreed as f32 / all as f32
}

/// Threads that give way to the window and to reading: prediction takes what is left of the processor.
fn background_pool() -> Option<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .thread_name(|i| format!("net-{i}"))
        .start_handler(|_| give_way())
        .build()
        .ok()
}

/// Lowers the priority of this thread (on Linux a thread has its own).
pub fn give_way() {
    let _ = rustix::process::nice(10);
}

fn take(wanted: &mut Wanted) -> Option<Work> {
    if std::mem::take(&mut wanted.list) {
        return Some(Work::List);
    }
    if let Some((serial, choice)) = wanted.source.take() {
        wanted.frames.clear();
        return Some(Work::Load(Who::First, serial, choice));
    }
    if let Some((serial, choice)) = wanted.second.take() {
        wanted.second_frames.clear();
        return Some(Work::Load(Who::Second, serial, choice));
    }
    let is_second = wanted.frames.is_empty() || wanted.is_seconds_turn;
    wanted.is_seconds_turn = !is_second;
    if is_second && let Some(key) = wanted.second_frames.pop_front() {
        return Some(Work::Predict(Who::Second, wanted.second_serial, key));
    }
    let key = wanted.frames.pop_front()?;
    Some(Work::Predict(Who::First, wanted.serial, key))
}

/// The nets that can be chosen, the asked-for or shipped one first.
fn list(options: &Options) -> Vec<NetEntry> {
    let mut entries: Vec<NetEntry> = catalog::installed()
        .into_iter()
        .map(|(path, card)| entry(path, &card))
        .collect();
    if let Some(wanted) = &options.net {
        entries.retain(|entry| entry.path != *wanted);
        let first = match crate::net::Card::load(wanted) {
            Ok(card) => entry(wanted.clone(), &card),
            // Loading it will say what is wrong with it.
            Err(_) => NetEntry {
                path: wanted.clone(),
                name: wanted.display().to_string(),
                summary: String::new(),
            },
        };
        entries.insert(0, first);
    }
    entries
}

fn entry(path: PathBuf, card: &crate::net::Card) -> NetEntry {
    NetEntry {
        name: card.name.clone(),
        summary: card.summary(),
        path,
    }
}

fn load(serial: u64, path: PathBuf, options: &Options) -> Result<(NetInfo, Source), String> {
    let mut net = Net::load(&path, options.device).map_err(|error| error.to_string())?;
    net.grant(&options.wishes);
    let info = NetInfo {
        serial,
        entry: entry(path, net.card()),
        digest: net.digest().to_owned(),
        device: net.device_name(),
        finder: None,
    };
    Ok((info, Source::Net(Box::new(net))))
}

fn use_finder(serial: u64, finder: Finder) -> (NetInfo, Source) {
    let info = NetInfo {
        serial,
        entry: NetEntry {
            path: PathBuf::new(),
            name: finder.name().to_owned(),
            summary: "classical finder: peaks only, no artifact".to_owned(),
        },
        digest: finder.name().to_owned(),
        device: "CPU".to_owned(),
        finder: Some(finder),
    };
    (info, Source::Finder(finder))
}

/// What a finder sees, in the form of a net's prediction: certain of everything.
fn find(finder: &Finder, frame: &Frame, bins: &Grid<u16>, info: &RunInfo) -> Predicted {
    let start = Instant::now();
    let panels: Vec<PixelRect> = info
        .geometry
        .panels
        .iter()
        .map(|panel| panel.rect)
        .collect();
    let classes = finder.find(frame, bins, &panels);
    let net_ms = start.elapsed().as_secs_f32() * 1e3;
    let peak = Class::Peak.code();
    Predicted {
        peaks: peaks::measure_peaks(frame, &classes),
        peak: classes.map(|class| u8::from(*class == peak) * u8::MAX),
        artifact: Grid::filled(frame.width(), frame.height(), 0),
        classes: Arc::new(classes),
        artifact_fraction: 0.0,
        doubt: 0.0,
        net_ms,
    }
}

fn predict(net: &Net, frame: &Frame, circles: &Option<Circles>) -> Result<Predicted, String> {
    let start = Instant::now();
    let asked = Asked::about(circles);
    let mut predictions = net
        .predict(&[frame], asked)
        .map_err(|error| error.to_string())?;
    let mut prediction = predictions
        .pop()
        .ok_or_else(|| "The net gave no prediction; choose another one.".to_owned())?;
    let net_ms = start.elapsed().as_secs_f32() * 1e3;
    let peaks = peaks::settle_peaks(frame, &mut prediction.classes);
    let cells = frame.bad.cells().iter().zip(prediction.classes.cells());
    let valid = cells.filter(|(bits, _)| *bits & bad::NOT_VALID == 0);
    let (valid, artifact) = valid.fold((0_u64, 0_u64), |(valid, artifact), (_, class)| {
        (
            valid + 1,
            artifact + u64::from(*class == Class::Artifact.code()),
        )
    });
    let doubt = doubt(frame, &prediction.peak, &prediction.artifact);
    Ok(Predicted {
        classes: Arc::new(prediction.classes),
        peak: prediction.peak,
        artifact: prediction.artifact,
        peaks,
        artifact_fraction: artifact as f32 / valid.max(1) as f32,
        doubt: doubt as f32,
        net_ms,
    })
}
