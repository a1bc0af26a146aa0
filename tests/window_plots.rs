//! The plots of the frame table in the real window: a click on a point goes to its frame, one on a bar lists the bar's frames.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on shall say where"
)]

#[expect(dead_code, reason = "other tests use the rest of it")]
mod memory;

use egui::accesskit::Role;
use egui::{Key, Modifiers, Pos2, Rect, pos2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use memory::{crystal_of, settle, window};
use peaknet_studio::app::Window;

fn choose(harness: &mut Harness<'_, Window>, axis: &str, column: &str) {
    let combo = harness.get_by_role_and_label(Role::ComboBox, axis);
    let below = combo.rect().center_bottom();
    combo.click();
    settle(harness, 3);
    // A button of the same name may be elsewhere in the window.
    let choices = harness.get_all_by_role_and_label(Role::Button, column);
    let away = |node: &egui_kittest::Node<'_>| node.rect().center().distance(below);
    let choice = choices.min_by(|a, b| away(a).total_cmp(&away(b)));
    choice.expect("a choice of this name").click();
    settle(harness, 4);
}

fn click(harness: &mut Harness<'_, Window>, at: Pos2) {
    harness.hover_at(at);
    harness.step();
    harness.drag_at(at);
    harness.step();
    harness.drop_at(at);
    settle(harness, 4);
}

/// Where a plot of these ranges draws a place: it leaves a twentieth free on every side.
fn place(plot: Rect, [x, y]: [f64; 2], ranges: [(f64, f64); 2]) -> Pos2 {
    let share = |value: f64, (low, high): (f64, f64)| {
        let margin = (high - low) * 0.05;
        ((value - low + margin) / (high - low + 2.0 * margin)) as f32
    };
    pos2(
        plot.left() + plot.width() * share(x, ranges[0]),
        plot.bottom() - plot.height() * share(y, ranges[1]),
    )
}

#[test]
fn a_click_on_a_point_goes_there_and_one_on_a_bar_lists_its_frames() {
    // Ever more peaks, so that every frame has a place of its own.
    let frames = (0..5).map(|number| crystal_of(number, 200, 160, 8 + 14 * number));
    let Some((mut harness, _)) = window([1300.0, 800.0], true, frames.collect(), true) else {
        return;
    };
    settle(&mut harness, 20);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::H);
    settle(&mut harness, 4);
    choose(&mut harness, "Vertical axis", "peaks");
    choose(&mut harness, "Horizontal axis", "frame");
    let rows = &harness.state().session.rows;
    let peaks: Vec<f64> = (rows.iter().flat_map(|row| row.peaks))
        .map(f64::from)
        .collect();
    assert_eq!(peaks.len(), 5, "all frames are predicted");
    let range = |values: &[f64]| {
        let low = values.iter().copied().fold(f64::MAX, f64::min);
        (low, values.iter().copied().fold(f64::MIN, f64::max))
    };
    let ranges = [(1.0, 5.0), range(&peaks)];
    for frame in [3, 1, 4] {
        let plot = harness.get_by_label("Plot of frames").rect();
        let at = place(plot, [frame as f64 + 1.0, peaks[frame]], ranges);
        click(&mut harness, at);
        assert_eq!(harness.state().session.selected, frame);
    }
    // Between two frames there is no point.
    let plot = harness.get_by_label("Plot of frames").rect();
    let nowhere = place(plot, [1.0, ranges[1].1], ranges);
    click(&mut harness, nowhere);
    assert_eq!(harness.state().session.selected, 4);

    choose(&mut harness, "Vertical axis", "number of frames");
    let plot = harness.get_by_label("Plot of frames").rect();
    // Bars are nine tenths of their bin wide.
    let at = place(plot, [3.5, 0.5], [(1.05, 5.95), (0.0, 1.0)]);
    click(&mut harness, at);
    let table = &harness.state().session.table;
    assert_eq!(table.listed(), [2], "{}", table.filter_text());
    assert_eq!(table.filter_text(), "frame >= 3 and frame < 4");
    if let Ok(out) = std::env::var("PEAKNET_PICTURE") {
        let image = harness.render().expect("rendered");
        image.save(out).expect("saved");
    }
}
