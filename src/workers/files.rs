//! The thread that owns the open run: opens it and reads the wanted frame; and its helper that reads those ahead.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::desk::Desk;
use super::{Shared, lock, settings};
use crate::domain::calibrant::{self, Calibrant};
use crate::domain::components::components;
use crate::domain::frame::{Frame, RunInfo};
use crate::domain::labels::{Class, Sheet};
use crate::domain::radial;
use crate::domain::rings;
use crate::io::cache::Cached;
use crate::io::{self, OpenOptions};
use crate::session::command::RunRequest;
use crate::session::job::{Calibration, FrameKey, LoadedFrame, PathWanted, Report, SheetCount};

type CalibrateWork = (
    FrameKey,
    Calibrant,
    Arc<Frame>,
    Arc<RunInfo>,
    Option<Arc<Sheet>>,
);

#[derive(Default)]
pub struct Wanted {
    pub open: Option<(u64, RunRequest)>,
    pub demo: bool,
    pub load: Option<FrameKey>,
    pub calibrate: Option<CalibrateWork>,
    pub guides: Option<(u64, Arc<RunInfo>)>,
    pub count: Option<(FrameKey, u64, Arc<Sheet>)>,
}

enum Work {
    Open(u64, Box<RunRequest>),
    Demo,
    Load(FrameKey),
    Calibrate(Box<CalibrateWork>),
    Guides(u64, Arc<RunInfo>),
    Count(FrameKey, u64, Arc<Sheet>),
}

pub fn start(shared: Arc<Shared>) -> std::io::Result<Arc<Desk<Wanted>>> {
    let desk = Arc::new(Desk::new(Wanted::default()));
    let inbox = desk.clone();
    std::thread::Builder::new()
        .name("files".to_owned())
        .spawn(move || {
            settings::report(&shared);
            while let Some(work) = inbox.next(take) {
                work_on(&shared, work);
            }
        })?;
    Ok(desk)
}

/// Starts the thread that reads the frames that are likely next, beside whatever else is asked for.
pub fn start_ahead(shared: Arc<Shared>) -> std::io::Result<Arc<Desk<VecDeque<FrameKey>>>> {
    let desk = Arc::new(Desk::new(VecDeque::new()));
    let inbox = desk.clone();
    std::thread::Builder::new()
        .name("ahead".to_owned())
        .spawn(move || {
            while let Some(key) = inbox.next(VecDeque::pop_front) {
                // An unreadable frame is reported when the curator asks for it.
                if let Some(Ok(cached)) = shared.frame(key) {
                    shared.measure(key, &cached.frame);
                }
            }
        })?;
    Ok(desk)
}

/// The most wanted work first.
fn take(wanted: &mut Wanted) -> Option<Work> {
    if let Some((run, request)) = wanted.open.take() {
        return Some(Work::Open(run, Box::new(request)));
    }
    if std::mem::take(&mut wanted.demo) {
        return Some(Work::Demo);
    }
    if let Some(key) = wanted.load.take() {
        return Some(Work::Load(key));
    }
    if let Some((key, version, sheet)) = wanted.count.take() {
        return Some(Work::Count(key, version, sheet));
    }
    if let Some(work) = wanted.calibrate.take() {
        return Some(Work::Calibrate(Box::new(work)));
    }
    if let Some((run, info)) = wanted.guides.take() {
        return Some(Work::Guides(run, info));
    }
    None
}

fn work_on(shared: &Shared, work: Work) {
    match work {
        Work::Open(serial, request) => open(shared, serial, &request),
        Work::Demo => match io::demo::ensure_demo() {
            Ok(path) => shared.report(Report::Chosen(RunRequest {
                paths: vec![path],
                ..RunRequest::default()
            })),
            Err(error) => shared.report(Report::Notice(error.to_string())),
        },
        Work::Load(key) => {
            let start = Instant::now();
            let Some(result) = shared.frame(key) else {
                return;
            };
            let listed = shared.listed(key).unwrap_or_else(|reason| {
                shared.report(Report::Notice(reason));
                None
            });
            if let Ok(cached) = &result {
                shared.warn_of(key, &cached.frame);
            }
            let run = shared.run_of(key);
            let read = result.as_ref().ok().map(|cached| cached.frame.clone());
            let result = result.map(|Cached { frame, statistics }| LoadedFrame {
                listed,
                problems: run.map_or_else(Vec::new, |run| run.problems(&frame)),
                statistics,
                frame,
                read_ms: start.elapsed().as_secs_f32() * 1e3,
            });
            shared.report(Report::Frame { key, result });
            if let Some(frame) = read {
                shared.measure(key, &frame);
            }
        }
        Work::Calibrate(work) => {
            let (key, calibrant, frame, info, artifact) = *work;
            let result = calibrate(calibrant, &frame, &info, artifact.as_deref());
            shared.report(Report::Calibrated { key, result });
        }
        Work::Count(key, version, sheet) => {
            let artifact = Class::Artifact.code();
            let cells = sheet.cells().iter();
            let count = SheetCount {
                peaks: components(&sheet, Class::Peak.code()).len(),
                artifact_pixels: cells.filter(|code| **code == artifact).count(),
            };
            shared.report(Report::Counted {
                key,
                version,
                count,
            });
        }
        Work::Guides(run, info) => {
            let rings = rings::resolution_rings(&info.geometry, info.width, info.height);
            shared.report(Report::GuidesPlaced {
                run,
                rings: Arc::new(rings),
            });
        }
    }
}

/// What the command line and the window both mean by a request.
pub fn options_of(request: &RunRequest) -> OpenOptions {
    OpenOptions {
        geometry: request.geometry.clone(),
        peaks: request.peaks.clone(),
        bad_pixels: request.bad_pixels.clone(),
        bad_pixels_are: request.bad_pixels_are,
        dataset: request.dataset.clone(),
        shape: request.shape.clone(),
        dtype: request.dtype.clone(),
        wavelength_angstrom: request.wavelength_angstrom,
        detector_distance_m: request.detector_distance_m,
        pixel_size_m: request.pixel_size_m,
        beam_center_px: request.beam_center_px,
    }
}

fn open(shared: &Shared, serial: u64, request: &RunRequest) {
    if let ([project], None) = (request.paths.as_slice(), &request.project)
        && project
            .extension()
            .is_some_and(|ending| ending == "peaknet")
    {
        let result = match io::project::runs_of(project) {
            Ok(paths) if paths.is_empty() => Err(format!(
                "no run is in this project yet; open a run and paint, or import one: {}",
                project.display()
            )),
            Ok(paths) => {
                return shared.report(Report::Chosen(RunRequest {
                    paths,
                    project: Some(project.clone()),
                    ..request.clone()
                }));
            }
            Err(error) => Err(error.to_string()),
        };
        return shared.report(Report::RunOpened {
            run: serial,
            result,
        });
    }
    let result = match io::open_run(&request.paths, &options_of(request)) {
        Ok(run) => {
            let info = Arc::new(run.info.clone());
            *shared.run.write().unwrap_or_else(PoisonError::into_inner) =
                Some((serial, Arc::new(run)));
            lock(&shared.cache).clear();
            Ok(info)
        }
        Err(error) => Err(error.to_string()),
    };
    let is_open = result.is_ok();
    shared.report(Report::RunOpened {
        run: serial,
        result,
    });
    if is_open {
        settings::remember(shared, request);
    }
}

fn calibrate(
    calibrant: Calibrant,
    frame: &Frame,
    info: &RunInfo,
    classes: Option<&Sheet>,
) -> Result<Calibration, String> {
    let geometry = &info.geometry;
    let map = radial::axis_map(geometry, radial::Axis::RadiusPx, frame.width(), frame.height())
        .ok_or_else(|| "The rings need distance, pixel size and beam centre; give them with --geometry or as options.".to_owned())?;
    let artifact = classes.map(|sheet| sheet.map(|class| *class == Class::Artifact.code()));
    let points = |profile: &radial::Profile| {
        let points = profile.points().filter(|(_, mean)| mean.is_finite());
        points
            .map(|(radius, mean)| [radius, mean])
            .collect::<Vec<_>>()
    };
    let rows = calibrant::ring_table(frame, geometry, calibrant, classes);
    let half_angle = |d: f64| (geometry.wavelength_angstrom.unwrap_or(0.0) / (2.0 * d)).asin();
    let on_panels = rows
        .iter()
        .filter(|_| !geometry.panels.is_empty())
        .map(|row| rings::ring_segments(geometry, 2.0 * half_angle(row.d_angstrom)))
        .collect();
    Ok(Calibration {
        calibrant: Some(calibrant),
        on_panels,
        rings: rows,
        profile: points(&radial::profile_on(frame, &map, 1.0, None)),
        profile_without_artifact: points(&radial::profile_on(frame, &map, 1.0, artifact.as_ref())),
    })
}

/// A question that a dialog of the desktop asks.
pub enum Dialog {
    Run { folder: bool },
    Project,
    Geometry,
    Export,
    Import,
}

/// Asks on a thread of its own, so that the window goes on.
pub fn ask_user(shared: Arc<Shared>, dialog: Dialog) {
    let spawned = std::thread::Builder::new()
        .name("dialog".to_owned())
        .spawn({
            let shared = shared.clone();
            move || ask(&shared, &dialog)
        });
    if spawned.is_err() {
        shared.report(Report::Notice(
            "The file dialog could not be opened; drop the file on the window instead.".to_owned(),
        ));
    }
}

/// Nobody closes a dialog within this time: it was never there.
const LEAST_THOUGHT: Duration = Duration::from_millis(250);

fn ask(shared: &Shared, dialog: &Dialog) {
    let asker = rfd::FileDialog::new();
    let begun = Instant::now();
    let run = |paths: Vec<PathBuf>| {
        Report::Chosen(RunRequest {
            paths,
            ..RunRequest::default()
        })
    };
    let chosen = match dialog {
        Dialog::Run { folder: false } => asker.set_title("Open a run").pick_files().map(run),
        Dialog::Run { folder: true } => {
            let picked = asker.set_title("Open a folder of frames").pick_folder();
            picked.map(|path| run(vec![path]))
        }
        Dialog::Project => asker
            .set_title("Open a project")
            .add_filter("PeakNet project", &["peaknet"])
            .pick_file()
            .map(|path| run(vec![path])),
        Dialog::Geometry => asker
            .set_title("Open with a geometry file")
            .add_filter("CrystFEL or pyFAI geometry", &["geom", "poni"])
            .pick_file()
            .map(|path| run(vec![path])),
        Dialog::Import => asker
            .set_title("Import labels for this run")
            .pick_file()
            .map(Report::ImportChosen),
        Dialog::Export => asker
            .set_title("Export the confirmed frames")
            .set_file_name("set.h5")
            .add_filter("Training set", &["h5"])
            .add_filter("CXI class map", &["cxi"])
            .add_filter("NumPy array", &["npy"])
            .add_filter("PNG a frame, in a folder of that name", &["png"])
            .save_file()
            .map(Report::ExportChosen),
    };
    match chosen {
        Some(report) => shared.report(report),
        None if begun.elapsed() < LEAST_THOUGHT => {
            shared.report(Report::NoDialog(match dialog {
                Dialog::Export => PathWanted::Export,
                Dialog::Import => PathWanted::Import,
                _ => PathWanted::Open,
            }));
        }
        None => {}
    }
}
