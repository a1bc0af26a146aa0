//! The strip of tools beside the canvas.

use egui::{Ui, vec2};
use egui_material_icons::MaterialIcon;
use egui_material_icons::icons::{
    ICON_AUTO_FIX_HIGH, ICON_BRUSH, ICON_BUBBLE_CHART, ICON_COLORIZE, ICON_CROP_SQUARE,
    ICON_DIAGONAL_LINE, ICON_DONUT_LARGE, ICON_FIT_SCREEN, ICON_FORMAT_COLOR_FILL, ICON_GRAIN,
    ICON_INK_ERASER, ICON_LASSO_SELECT, ICON_POLYLINE, ICON_REDO, ICON_TONALITY, ICON_UNDO,
    ICON_VISIBILITY,
};

use super::keys::{self, Action};
use super::{menu, theme};
use crate::session::Session;
use crate::session::tool::Tool;

/// The icon of a tool.
pub const fn icon(tool: Tool) -> MaterialIcon {
    match tool {
        Tool::Brush => ICON_BRUSH,
        Tool::Eraser => ICON_INK_ERASER,
        Tool::Polygon => ICON_POLYLINE,
        Tool::Fill => ICON_FORMAT_COLOR_FILL,
        Tool::Pick => ICON_COLORIZE,
        Tool::PeakGrow => ICON_AUTO_FIX_HIGH,
        Tool::Ring => ICON_DONUT_LARGE,
        Tool::Lasso => ICON_LASSO_SELECT,
        Tool::Threshold => ICON_GRAIN,
        Tool::Component => ICON_BUBBLE_CHART,
        Tool::Line => ICON_DIAGONAL_LINE,
        Tool::Rectangle => ICON_CROP_SQUARE,
    }
}

/// Draws the strip; what was clicked.
pub fn strip(ui: &mut Ui, session: &Session) -> Option<Action> {
    let mut chosen = None;
    ui.vertical_centered(|ui| {
        ui.spacing_mut().item_spacing.y = 3.0;
        ui.add_space(2.0);
        for tool in Tool::ALL {
            let action = Action::Tool(tool);
            if button(ui, icon(tool), action, session.tool == tool, true) {
                chosen = Some(action);
            }
        }
        ui.separator();
        for (symbol, action) in [(ICON_UNDO, Action::Undo), (ICON_REDO, Action::Redo)] {
            if button(
                ui,
                symbol,
                action,
                false,
                menu::is_possible(session, action),
            ) {
                chosen = Some(action);
            }
        }
        ui.separator();
        let view = [
            (ICON_FIT_SCREEN, Action::Fit, false),
            (ICON_TONALITY, Action::AutoTone, false),
            (ICON_VISIBILITY, Action::Fill, session.layers.filled),
        ];
        for (symbol, action, is_on) in view {
            if button(ui, symbol, action, is_on, session.run.is_some()) {
                chosen = Some(action);
            }
        }
    });
    chosen
}

fn button(
    ui: &mut Ui,
    symbol: MaterialIcon,
    action: Action,
    is_on: bool,
    is_possible: bool,
) -> bool {
    let widget = egui::Button::new(theme::icon(symbol))
        .selected(is_on)
        .frame_when_inactive(is_on)
        .min_size(vec2(30.0, 28.0));
    let response = ui.add_enabled(is_possible, widget);
    let name = keys::tip(ui, action);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, is_possible, &name));
    response.on_hover_text(name).clicked()
}
