//! Every colour, size and font of the window.
#![expect(
    clippy::disallowed_methods,
    reason = "this is where colours get their names"
)]

use egui::{
    Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, Stroke,
    TextStyle, Vec2,
};

// Colours of meaning, the same in both themes, safe for colour-blind eyes (Okabe and Ito's palette).
pub const PEAK: Color32 = Color32::from_rgb(0xD5, 0x5E, 0x00);
pub const ARTIFACT: Color32 = Color32::from_rgb(0x56, 0xB4, 0xE9);
pub const IGNORE: Color32 = Color32::from_rgb(0x9A, 0x9A, 0x9A);
pub const BAD: Color32 = Color32::from_rgb(0x64, 0x46, 0x2C);
pub const FOUND: Color32 = Color32::from_rgb(0xF0, 0xE4, 0x42);
/// Reddish purple of Okabe and Ito: what another program found.
pub const LISTED: Color32 = Color32::from_rgb(0xCC, 0x79, 0xA7);
pub const RING: Color32 = Color32::from_rgb(0x00, 0x9E, 0x73);
/// Rings of resolution, beam centre, panel names: quieter than what was found.
pub const GUIDE: Color32 = Color32::from_rgb(0x8C, 0x7B, 0xD6);
/// Of the difference view: seen by both, by the reference alone, by the judged opinion alone.
pub const AGREED: Color32 = Color32::from_rgba_premultiplied(70, 74, 78, 120);
pub const MISSED: Color32 = Color32::from_rgb(0xD0, 0x1C, 0xB8);
pub const ADDED: Color32 = Color32::from_rgb(0xF2, 0x8A, 0x00);
pub const ADDED_FILL: Color32 = Color32::from_rgba_premultiplied(0x6B, 0x3D, 0x00, 0x70);
/// Around the frame: neither zero counts nor the panels.
pub const CANVAS: Color32 = Color32::from_rgb(0x3A, 0x3C, 0x3E);
/// Thin dark line under light marks, so that they are seen on any map.
pub const SHADE: Color32 = Color32::from_rgba_premultiplied(0, 0, 0, 150);
pub const FOUND_SHADE: Color32 = Color32::from_rgba_premultiplied(0, 0, 0, 90);
pub const LIGHT: Color32 = Color32::from_rgb(0xFF, 0xFF, 0xFF);

// Sizes in points.
pub const TEXT: f32 = 13.0;
pub const SMALL: f32 = 11.5;
pub const ICON: f32 = 18.0;
pub const ROW: f32 = 20.0;
/// Height of a row with a thumbnail.
pub const THUMBNAIL: f32 = 72.0;
pub const RUN_PANEL: f32 = 236.0;
pub const INSPECTOR: f32 = 268.0;
pub const TOOL_STRIP: f32 = 38.0;
pub const RUN_STRIP: f32 = 74.0;
pub const TRIAGE_STRIP: f32 = 88.0;
pub const HISTOGRAM: f32 = 92.0;

/// Colours that differ between the themes.
#[derive(Clone, Copy)]
struct Palette {
    panel: Color32,
    field: Color32,
    line: Color32,
    text: Color32,
    weak: Color32,
    raised: Color32,
    hover: Color32,
    accent: Color32,
    accent_text: Color32,
    link: Color32,
}

const DARK: Palette = Palette {
    panel: Color32::from_rgb(0x1E, 0x20, 0x22),
    field: Color32::from_rgb(0x15, 0x17, 0x18),
    line: Color32::from_rgb(0x31, 0x34, 0x37),
    text: Color32::from_rgb(0xDB, 0xDE, 0xE0),
    weak: Color32::from_rgb(0x8F, 0x95, 0x9A),
    raised: Color32::from_rgb(0x2C, 0x2F, 0x32),
    hover: Color32::from_rgb(0x38, 0x3C, 0x40),
    accent: Color32::from_rgb(0x2B, 0x5F, 0x86),
    accent_text: Color32::from_rgb(0xF2, 0xF7, 0xFB),
    link: Color32::from_rgb(0x7F, 0xBC, 0xE6),
};
const LIGHT_PALETTE: Palette = Palette {
    panel: Color32::from_rgb(0xF6, 0xF6, 0xF5),
    field: Color32::from_rgb(0xFF, 0xFF, 0xFF),
    line: Color32::from_rgb(0xDA, 0xDB, 0xDB),
    text: Color32::from_rgb(0x23, 0x26, 0x29),
    weak: Color32::from_rgb(0x6B, 0x71, 0x76),
    raised: Color32::from_rgb(0xE9, 0xEA, 0xEA),
    hover: Color32::from_rgb(0xDE, 0xE1, 0xE3),
    accent: Color32::from_rgb(0xC4, 0xDE, 0xF1),
    accent_text: Color32::from_rgb(0x10, 0x2C, 0x42),
    link: Color32::from_rgb(0x1B, 0x64, 0x99),
};

/// The colour of a class by its name in the legend.
pub const fn class_color(class: crate::domain::labels::Class) -> Color32 {
    use crate::domain::labels::Class;
    match class {
        Class::Background => CANVAS,
        Class::Peak => PEAK,
        Class::Artifact => ARTIFACT,
        Class::Ignore => IGNORE,
    }
}

/// A colour of the tone, as egui's painter wants it.
pub const fn tone_color(r: u8, g: u8, b: u8) -> Color32 {
    Color32::from_rgb(r, g, b)
}

/// Fonts, sizes and both themes; once, before the first frame.
pub fn install(ctx: &egui::Context) {
    ctx.set_fonts(fonts());
    egui_material_icons::initialize(ctx);
    ctx.set_style_of(egui::Theme::Dark, style(egui::Theme::Dark, DARK));
    ctx.set_style_of(egui::Theme::Light, style(egui::Theme::Light, LIGHT_PALETTE));
}

fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    let files: [(&str, &'static [u8]); 2] = [
        (
            "Inter",
            include_bytes!("../../assets/fonts/Inter-Regular.otf"),
        ),
        (
            "Inter SemiBold",
            include_bytes!("../../assets/fonts/Inter-SemiBold.otf"),
        ),
    ];
    for (name, data) in files {
        fonts
            .font_data
            .insert(name.to_owned(), FontData::from_static(data).into());
    }
    let proportional = fonts.families.entry(FontFamily::Proportional).or_default();
    proportional.insert(0, "Inter".to_owned());
    let mut bold = proportional.clone();
    bold.insert(0, "Inter SemiBold".to_owned());
    fonts.families.insert(bold_family(), bold);
    fonts
}

fn bold_family() -> FontFamily {
    FontFamily::Name("bold".into())
}

/// Text of a section title.
pub fn title(text: &str) -> egui::RichText {
    egui::RichText::new(text).font(FontId::new(TEXT, bold_family()))
}

/// The quiet line under a title.
pub fn small(text: impl Into<String>) -> egui::RichText {
    egui::RichText::new(text).size(SMALL).weak()
}

/// An icon of the icon font.
pub fn icon(icon: egui_material_icons::MaterialIcon) -> egui::RichText {
    icon.rich_text().size(ICON)
}

/// A panel without a margin of its own: lines between panels are the panels' own.
pub fn panel_frame(ui: &egui::Ui, margin: i8) -> egui::Frame {
    egui::Frame::new()
        .fill(ui.visuals().panel_fill)
        .inner_margin(Margin::same(margin))
}

fn style(theme: egui::Theme, palette: Palette) -> egui::Style {
    let mut style = theme.default_style();
    style.text_styles = [
        (TextStyle::Heading, FontId::new(14.0, bold_family())),
        (TextStyle::Body, FontId::new(TEXT, FontFamily::Proportional)),
        (
            TextStyle::Button,
            FontId::new(TEXT, FontFamily::Proportional),
        ),
        (
            TextStyle::Small,
            FontId::new(SMALL, FontFamily::Proportional),
        ),
        (
            TextStyle::Monospace,
            FontId::new(12.0, FontFamily::Monospace),
        ),
    ]
    .into();
    style.animation_time = 0.0;
    style.spacing.item_spacing = Vec2::new(6.0, 4.0);
    style.spacing.button_padding = Vec2::new(7.0, 2.0);
    style.spacing.interact_size = Vec2::new(24.0, 20.0);
    style.spacing.slider_width = 96.0;
    style.spacing.scroll.bar_width = 8.0;
    style.interaction.tooltip_delay = 0.3;
    let visuals = &mut style.visuals;
    visuals.panel_fill = palette.panel;
    visuals.window_fill = palette.panel;
    visuals.window_stroke = Stroke::new(1.0, palette.line);
    visuals.extreme_bg_color = palette.field;
    visuals.faint_bg_color = palette.raised.gamma_multiply(0.35);
    visuals.selection.bg_fill = palette.accent;
    visuals.selection.stroke = Stroke::new(1.0, palette.accent_text);
    visuals.weak_text_color = Some(palette.weak);
    visuals.hyperlink_color = palette.link;
    visuals.window_shadow = egui::Shadow {
        offset: [0, 4],
        blur: 12,
        spread: 0,
        color: SHADE.gamma_multiply(0.6),
    };
    visuals.popup_shadow = visuals.window_shadow;
    visuals.window_corner_radius = CornerRadius::same(6);
    visuals.menu_corner_radius = CornerRadius::same(5);
    let states = [
        (
            &mut visuals.widgets.noninteractive,
            palette.panel,
            palette.text,
        ),
        (&mut visuals.widgets.inactive, palette.raised, palette.text),
        (&mut visuals.widgets.hovered, palette.hover, palette.text),
        (
            &mut visuals.widgets.active,
            palette.accent,
            palette.accent_text,
        ),
        (&mut visuals.widgets.open, palette.hover, palette.text),
    ];
    for (state, fill, text) in states {
        state.bg_fill = fill;
        state.weak_bg_fill = fill;
        state.fg_stroke = Stroke::new(1.0, text);
        state.bg_stroke = Stroke::NONE;
        state.corner_radius = CornerRadius::same(4);
        state.expansion = 0.0;
    }
    visuals.widgets.noninteractive.bg_stroke = Stroke::new(1.0, palette.line);
    style
}
