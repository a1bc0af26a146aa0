//! The thread that owns the loaded net: loads it, predicts the most wanted frames, measures their peaks.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::desk::Desk;
use super::{Options, Shared};
use crate::domain::doubt::doubt;
use crate::domain::frame::{Frame, bad};
use crate::domain::labels::Class;
use crate::domain::peaks;
use crate::net::{Net, catalog};
use crate::session::job::{FrameKey, NetEntry, NetInfo, Predicted, Report};

#[derive(Default)]
pub struct Wanted {
    pub list: bool,
    pub net: Option<(u64, PathBuf)>,
    /// The net that `frames` are meant for.
    pub serial: u64,
    pub frames: VecDeque<FrameKey>,
}

enum Work {
    List,
    Load(u64, PathBuf),
    Predict(u64, FrameKey),
}

pub fn start(shared: Arc<Shared>, options: Options) -> std::io::Result<Arc<Desk<Wanted>>> {
    let desk = Arc::new(Desk::new(Wanted::default()));
    let inbox = desk.clone();
    std::thread::Builder::new()
        .name("predict".to_owned())
        .spawn(move || {
            let mut net: Option<(u64, Net)> = None;
            let pool = background_pool();
            while let Some(work) = inbox.next(take) {
                match work {
                    Work::List => shared.report(Report::Nets(list(&options))),
                    Work::Load(serial, path) => {
                        let result = load(serial, path, &options);
                        let result = result.map(|(info, loaded)| {
                            net = Some((serial, loaded));
                            info
                        });
                        shared.report(Report::NetLoaded { serial, result });
                    }
                    Work::Predict(serial, key) => {
                        let Some((_, net)) = net.as_ref().filter(|(loaded, _)| *loaded == serial)
                        else {
                            continue;
                        };
                        let Some(cached) = shared.frame(key) else {
                            continue;
                        };
                        let result = cached.and_then(|cached| match &pool {
                            Some(pool) => pool.install(|| predict(net, &cached.frame)),
                            None => predict(net, &cached.frame),
                        });
                        let result = result.map(Arc::new);
                        shared.report(Report::Predicted {
                            key,
                            net: serial,
                            result,
                        });
                    }
                }
            }
        })?;
    Ok(desk)
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
    if let Some((serial, path)) = wanted.net.take() {
        wanted.frames.clear();
        return Some(Work::Load(serial, path));
    }
    let key = wanted.frames.pop_front()?;
    Some(Work::Predict(wanted.serial, key))
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

fn load(serial: u64, path: PathBuf, options: &Options) -> Result<(NetInfo, Net), String> {
    let net = Net::load(&path, options.device).map_err(|error| error.to_string())?;
    let info = NetInfo {
        serial,
        entry: entry(path, net.card()),
        digest: net.digest().to_owned(),
        device: net.device_name(),
    };
    Ok((info, net))
}

fn predict(net: &Net, frame: &Frame) -> Result<Predicted, String> {
    let start = Instant::now();
    let mut predictions = net
        .predict(&[frame], None)
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
