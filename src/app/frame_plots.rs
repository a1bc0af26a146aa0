//! The frames of the list as a histogram of one column or a scatter of two; a click goes to a frame or narrows the filter.

use egui_plot::{Bar, BarChart, Plot, PlotPoint, PlotPoints, Points, VLine};

use super::frame_cells::written;
use super::theme;
use crate::domain::columns::{Cell, Column, Kind};
use crate::domain::filter::{Filter, Relation, Value};
use crate::session::Session;
use crate::session::command::Command;

/// Bins of a histogram: about twice the root of the number of frames, within these.
const BINS: [f64; 2] = [8.0, 40.0];
const SIZE: egui::Vec2 = egui::vec2(460.0, 340.0);
/// Points of a scatter plot that fall into one cell of this grid are drawn as one.
const CELLS: [f64; 2] = [240.0, 160.0];
/// A click so near to a point (screen points) means it.
const NEAR: f32 = 12.0;

/// The window with the plots; what is drawn is worked out once for each change of the table.
#[derive(Debug)]
pub struct FramePlots {
    pub is_open: bool,
    x: Column,
    /// `None`: how many frames, a histogram.
    y: Option<Column>,
    drawn: Option<Drawn>,
}

impl Default for FramePlots {
    fn default() -> Self {
        Self {
            is_open: false,
            x: Column::Peaks,
            y: None,
            drawn: None,
        }
    }
}

#[derive(Debug)]
struct Drawn {
    of: (u64, Column, Option<Column>),
    /// Frame and place of every listed frame whose cells are known.
    points: Vec<(u32, [f64; 2])>,
    /// Of the scatter, one point for each cell of the grid.
    sparse: Vec<[f64; 2]>,
    /// Of the histogram: where it begins, how wide a bin is, how many frames each has.
    start: f64,
    width: f64,
    counts: Vec<u32>,
}

impl FramePlots {
    /// Where the user has not put it, it lies in the lower left of the canvas.
    pub fn show(
        &mut self,
        ctx: &egui::Context,
        session: &Session,
        canvas: egui::Rect,
        commands: &mut Vec<Command>,
    ) {
        /// Title, margins and the line of choices, points.
        const AROUND: f32 = 64.0;
        let top = (canvas.bottom() - SIZE.y - AROUND).max(canvas.top());
        let mut is_open = self.is_open && session.run.is_some();
        egui::Window::new("Frames")
            .open(&mut is_open)
            .default_pos([canvas.left() + 10.0, top])
            .default_size(SIZE)
            .show(ctx, |ui| self.contents(ui, session, commands));
        if session.run.is_some() {
            self.is_open = is_open;
        }
    }

    fn contents(&mut self, ui: &mut egui::Ui, session: &Session, commands: &mut Vec<Command>) {
        let numbers = Column::ALL
            .into_iter()
            .filter(|column| column.kind() == Kind::Number);
        ui.horizontal(|ui| {
            let y_name = self.y.map_or("number of frames", Column::name);
            let vertical = egui::ComboBox::from_id_salt("y").selected_text(y_name);
            let response = vertical.show_ui(ui, |ui| {
                ui.selectable_value(&mut self.y, None, "number of frames");
                for column in numbers.clone() {
                    ui.selectable_value(&mut self.y, Some(column), column.name());
                }
            });
            response.response.widget_info(|| {
                egui::WidgetInfo::labeled(egui::Role::ComboBox, true, "Vertical axis")
            });
            ui.label(theme::small("against"));
            let horizontal = egui::ComboBox::from_id_salt("x").selected_text(self.x.name());
            let response = horizontal.show_ui(ui, |ui| {
                for column in numbers {
                    ui.selectable_value(&mut self.x, column, column.name());
                }
            });
            response.response.widget_info(|| {
                egui::WidgetInfo::labeled(egui::Role::ComboBox, true, "Horizontal axis")
            });
            ui.label(theme::small(if self.y.is_none() {
                "click a bar to list its frames"
            } else {
                "click a point to go there"
            }));
        });
        let of = (session.table.version, self.x, self.y);
        if self.drawn.as_ref().is_none_or(|drawn| drawn.of != of) {
            self.drawn = Some(Drawn::of(session, of));
        }
        let Some(drawn) = &self.drawn else { return };
        if drawn.points.is_empty() {
            ui.label(theme::small(
                "Nothing is known of these columns yet: page on, or predict the whole run (menu Net).",
            ));
        } else if self.y.is_some() {
            drawn.scatter(ui, session, commands);
        } else {
            drawn.histogram(ui, session, commands);
        }
    }
}

fn number(session: &Session, frame: u32, column: Column) -> Option<f64> {
    match session.rows.cell(frame as usize, column) {
        Cell::Number(value) => Some(value),
        _ => None,
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::MAX, f64::MIN), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

impl Drawn {
    fn of(session: &Session, of: (u64, Column, Option<Column>)) -> Self {
        let (_, x, y) = of;
        let point = |frame: &u32| {
            let x = number(session, *frame, x)?;
            let y = y.map_or(Some(0.0), |y| number(session, *frame, y))?;
            Some((*frame, [x, y]))
        };
        let points: Vec<(u32, [f64; 2])> =
            session.table.listed().iter().filter_map(point).collect();
        let ranges = [0, 1].map(|axis| range(points.iter().map(|(_, at)| at[axis])));
        let (low, high) = ranges[0];
        // Whole numbers get bins of whole width.
        let is_whole = matches!(x, Column::Frame | Column::Peaks);
        let bins = (2.0 * (points.len() as f64).sqrt())
            .round()
            .clamp(BINS[0], BINS[1]);
        let mut width = ((high - low) / bins).max(if is_whole { 1.0 } else { 1e-9 });
        if is_whole {
            width = width.ceil();
        }
        let mut counts = Vec::new();
        let mut sparse = Vec::new();
        if y.is_none() {
            for (_, at) in &points {
                let bin = ((at[0] - low) / width) as usize;
                if counts.len() <= bin {
                    counts.resize(bin + 1, 0_u32);
                }
                counts[bin] += 1;
            }
        } else {
            let mut taken = std::collections::HashSet::new();
            let cell = |axis: usize, value: f64| {
                let (low, high) = ranges[axis];
                ((value - low) / (high - low).max(1e-12) * CELLS[axis]) as i64
            };
            for (_, at) in &points {
                if taken.insert((cell(0, at[0]), cell(1, at[1]))) {
                    sparse.push(*at);
                }
            }
        }
        Self {
            of,
            points,
            sparse,
            start: low,
            width,
            counts,
        }
    }

    fn histogram(&self, ui: &mut egui::Ui, session: &Session, commands: &mut Vec<Command>) {
        let column = self.of.1;
        let color = ui.visuals().text_color().gamma_multiply(0.75);
        let bars = self.counts.iter().enumerate().map(|(bin, count)| {
            let middle = self.start + (bin as f64 + 0.5) * self.width;
            let bar = Bar::new(middle, f64::from(*count)).width(self.width * 0.9);
            bar.fill(color.gamma_multiply(0.7))
        });
        let chart = BarChart::new("frames", bars.collect())
            .color(color)
            .allow_hover(false);
        let here = number(session, session.selected as u32, column);
        let line = ui.visuals().text_color();
        let plot = plot(column.name(), "frames");
        let output = plot.show(ui, |plot| {
            plot.bar_chart(chart);
            if let Some(here) = here {
                plot.vline(VLine::new("here", here).color(line).allow_hover(false));
            }
            plot.pointer_coordinate()
        });
        name(&output.response);
        let Some(at) = output.inner.filter(|_| output.response.hovered()) else {
            return;
        };
        let bin = ((at.x - self.start) / self.width).floor();
        let Some(count) = (bin >= 0.0)
            .then(|| self.counts.get(bin as usize))
            .flatten()
        else {
            return;
        };
        let low = self.start + bin * self.width;
        let high = low + self.width;
        let tip = format!(
            "{}, {} {} to {}",
            super::text::count(f64::from(*count), "frame"),
            column.name(),
            written(column, low),
            written(column, high)
        );
        if output.response.clicked() && *count > 0 {
            let part = |relation, value| Filter::Compare(column, relation, Value::Number(value));
            commands.push(Command::NarrowFilter(part(Relation::AtLeast, low)));
            commands.push(Command::NarrowFilter(part(Relation::Less, high)));
        }
        output.response.on_hover_text_at_pointer(tip);
    }

    fn scatter(&self, ui: &mut egui::Ui, session: &Session, commands: &mut Vec<Command>) {
        let (_, x, Some(y)) = self.of else { return };
        let color = ui.visuals().text_color().gamma_multiply(0.75);
        let cloud: PlotPoints<'_> = self.sparse.iter().copied().collect();
        let selected = session.selected as u32;
        let here = number(session, selected, x).zip(number(session, selected, y));
        let plot = plot(x.name(), y.name());
        let output = plot.show(ui, |plot| {
            let cloud = Points::new("frames", cloud).radius(2.0);
            plot.points(cloud.color(color).allow_hover(false));
            if let Some((x, y)) = here {
                let here = Points::new("here", vec![[x, y]]).radius(4.0);
                plot.points(here.color(theme::PEAK).allow_hover(false));
            }
        });
        name(&output.response);
        let Some(pointer) = output.response.hover_pos() else {
            return;
        };
        let place = |at: &[f64; 2]| {
            let at = PlotPoint::new(at[0], at[1]);
            output.transform.position_from_point(&at)
        };
        let distance = |at: &[f64; 2]| place(at).distance(pointer);
        let all = self.points.iter();
        let nearest = all
            .map(|(frame, at)| (distance(at), frame, at))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, frame, at)) = nearest.filter(|(away, ..)| *away < NEAR) else {
            return;
        };
        if output.response.clicked() {
            commands.push(Command::GoTo(*frame as usize));
        }
        let tip = format!(
            "frame {}: {} {}, {} {}",
            super::text::thousands(f64::from(*frame) + 1.0),
            x.name(),
            written(x, at[0]),
            y.name(),
            written(y, at[1])
        );
        output.response.on_hover_text_at_pointer(tip);
    }
}

fn name(response: &egui::Response) {
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Canvas, true, "Plot of frames"));
}

fn plot<'a>(x: &str, y: &str) -> Plot<'a> {
    Plot::new(("frames", x, y))
        .x_axis_label(x)
        .y_axis_label(y)
        .allow_scroll(false)
        .show_x(false)
        .show_y(false)
}
