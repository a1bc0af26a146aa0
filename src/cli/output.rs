//! What goes out: lines of data on stdout, sentences and a progress bar on stderr.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;

/// One line of data on stdout.
pub fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// One sentence on stderr.
pub fn speak(sentence: &str) {
    // When nobody listens there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{}", sentence.replace('\n', " "));
}

/// A bar on stderr, where that is a terminal; otherwise nothing.
pub fn progress(length: usize, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    if let Ok(style) = ProgressStyle::with_template(
        "{prefix} {bar:40} {pos}/{len} frames, {per_sec}, {eta} left {msg}",
    ) {
        bar.set_style(style);
    }
    bar.set_prefix(what.to_owned());
    bar
}

/// A line with a turning sign for work of unknown length, where stderr is a terminal.
pub fn spinner(what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Milliseconds with microsecond digits, as JSON shows them.
pub fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// The middle value (the lower one of two); 0 for none.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(0.0)
}

/// So many significant digits, so that JSON does not pretend to more than was measured.
pub fn rounded(value: f64, digits: i32) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powi(digits - 1 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}
