//! The program `peaknet`: reads the arguments, joins command line and window, ends with an exit code.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use peaknet_studio::app::screenshot::{Picture, keys, render};
use peaknet_studio::app::{self, Start};
use peaknet_studio::cli::view::{DemoArguments, Theme, ToneName, ViewArguments};
use peaknet_studio::cli::{self, Command, Failure, Outcome};
use peaknet_studio::domain::tone::Curve;
use peaknet_studio::session::command::RunRequest;
use peaknet_studio::workers::Options;

fn main() {
    leave(work());
}

/// Ends the process with an exit code, without the last acts of C libraries: threads that still predict or draw would meet
/// them. All that is to be kept has been written by then; the label database's thread has ended.
fn leave(code: u8) -> ! {
    use std::io::Write;
    let _ = std::io::stdout().flush();
    #[cfg(unix)]
    {
        #[expect(unsafe_code, reason = "the standard library only ends with those acts")]
        // SAFETY: it does not return, and nothing that runs before it needs what it leaves out.
        unsafe {
            libc::_exit(i32::from(code));
        }
    }
    #[cfg(not(unix))]
    std::process::exit(i32::from(code));
}

fn work() -> u8 {
    peaknet_studio::memory::keep_large_blocks();
    quiet_vulkan();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        eprintln!("a fault of this program ({place}); your labels are safe, please report it");
    }));
    let arguments = match cli::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let work = || match arguments.command {
        None => view(&arguments.view),
        Some(Command::View(arguments)) => view(&arguments),
        Some(Command::Demo(arguments)) => demo(&arguments),
        Some(command) => cli::run(command),
    };
    match std::panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => 0,
        Ok(Err(failure)) => failure.report(),
        Err(_) => 2,
    }
}

/// Keeps a layer of the Vulkan library from looking for a Wayland desktop where there can be none: it complains on stderr.
fn quiet_vulkan() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        #[expect(
            unsafe_code,
            reason = "no other thread runs yet that could read the environment"
        )]
        // SAFETY: this is the first thing that `main` does.
        unsafe {
            std::env::set_var("NODEVICE_SELECT", "1");
        }
    }
}

fn view(arguments: &ViewArguments) -> Outcome {
    arguments.check()?;
    let open = &arguments.open;
    let request = (!arguments.paths.is_empty()).then(|| RunRequest {
        paths: arguments.paths.clone(),
        geometry: open.geometry.clone(),
        peaks: open.peaks.clone(),
        bad_pixels: open.bad_pixels.clone(),
        bad_pixels_are: open.bad_pixels_are,
        dataset: open.dataset.clone(),
        shape: open.shape.clone(),
        dtype: open.dtype.clone(),
        wavelength_angstrom: open.wavelength_angstrom,
        detector_distance_m: open.distance_m,
        pixel_size_m: open.pixel_size_m,
        beam_center_px: open.beam_center_px,
        project: arguments.project.clone(),
        frame: arguments.frame,
    });
    let start = Start {
        request,
        workers: Options {
            net: arguments.net.net.clone(),
            device: arguments.net.device.device,
            wishes: arguments.net.wishes(),
            curator: cli::arguments::who(),
        },
        predict: arguments.predict.then_some(true),
        curve: arguments.tone.map(|tone| match tone {
            ToneName::Linear => Curve::Linear,
            ToneName::Log => Curve::Log,
            ToneName::Sqrt => Curve::Sqrt,
            ToneName::Asinh => Curve::Asinh,
        }),
        calibrant: arguments.calibrant,
        guides: arguments.resolution,
        finder: arguments.classical.finder(arguments.finder),
        is_dark: arguments.theme.map(|theme| theme == Theme::Dark),
        ..Start::default()
    };
    show(
        start,
        arguments.screenshot.as_deref(),
        arguments.size,
        &arguments.press,
        arguments.force,
    )
}

/// The window, or a picture of it.
fn show(
    start: Start,
    screenshot: Option<&Path>,
    size: Option<[u32; 2]>,
    press: &[String],
    force: bool,
) -> Outcome {
    let Some(out) = screenshot else {
        return app::run_window(start).map_err(Failure::could_not);
    };
    let [width, height] = size.unwrap_or([1600, 1000]);
    let picture = Picture {
        width,
        height,
        is_forced: force,
        keys: keys(press).map_err(Failure::could_not)?,
        patience: Duration::from_secs(120),
    };
    render(start, picture, out).map_err(Failure::could_not)
}

fn demo(arguments: &DemoArguments) -> Outcome {
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let mut start = Start {
        is_demo: true,
        workers: Options {
            net: arguments.net.net.clone(),
            device: arguments.net.device.device,
            wishes: arguments.net.wishes(),
            curator: cli::arguments::who(),
        },
        predict: Some(true),
        ..Start::default()
    };
    let mut picture: Option<PathBuf> = arguments.screenshot.clone();
    if !has_display {
        let (run, found) = cli::demo::predict_headless(&arguments.net)?;
        start.is_demo = false;
        start.request = Some(RunRequest {
            paths: vec![run],
            ..RunRequest::default()
        });
        let beside = picture.get_or_insert_with(|| found.with_extension("png"));
        cli::demo::say_where(&found, beside)?;
    }
    show(start, picture.as_deref(), arguments.size, &[], true)
}
