// The canvas: raw counts to colour, classes as outlines or fill. The tone formula is domain/tone.rs. Each panel of the
// detector is a quad, drawn where it lies in the raw slab or in space, from the one texture of raw counts.
// Zoomed out, a screen pixel shows the maximum over all cells of the fitting pyramid level that it touches, at most
// 5 x 5 of them: no 1-pixel peak is ever lost.

struct View {
    viewport_min: vec2<f32>, // of the canvas in the window, physical pixels
    viewport_size: vec2<f32>, // the same
    size: vec2<u32>,         // of the frame, texels
    tile: vec2<u32>,         // of one layer of the array textures, texels
    tiles_x: u32,
    levels: u32, // how many there are, and from bit 8 on the finest one that is there
    texels_per_pixel: f32,
    curve: u32,
    low: f32,
    high: f32,
    is_srgb: u32,
    is_fill: u32,
    label_opacity: f32,
    net_opacity: f32,
    outline_px: f32, // physical pixels
    presence: f32, // 1 = the frame that was asked for, less = an old one that waits
    background: vec4<f32>,
    peak: vec4<f32>,
    artifact: vec4<f32>,
    ignore: vec4<f32>,
    bad: vec4<f32>,
    map: array<vec4<f32>, 256>,
};

@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var values: texture_2d_array<f32>;
@group(0) @binding(2) var marks: texture_2d_array<u32>;

const BAD: f32 = -3.0e38;
// Bits of a mark: classes of the label, then of the net.
const LABEL: u32 = 7u;
const NET_SHIFT: u32 = 3u;
const IS_PEAK: u32 = 1u;
const IS_ARTIFACT: u32 = 2u;
const IS_IGNORE: u32 = 4u;

// One panel of the frame: where it is drawn, and which texels lie under a screen pixel. A raw slab is one panel.
struct Panel {
    @location(0) corner: vec2<f32>, // of its first texel in the canvas, physical pixels
    @location(1) fast: vec2<f32>,   // physical pixels of one texel along x
    @location(2) slow: vec2<f32>,   // and along y
    @location(3) base: vec2<f32>,   // the frame position under the canvas' top left corner, texels
    @location(4) right: vec2<f32>,  // texels of one physical pixel to the right
    @location(5) down: vec2<f32>,   // and downwards
    @location(6) rect: vec4<f32>,   // its texels: low corner, high corner (not included)
};

struct Drawn {
    @builtin(position) position: vec4<f32>,
    @location(0) @interpolate(flat) base: vec2<f32>,
    @location(1) @interpolate(flat) right: vec2<f32>,
    @location(2) @interpolate(flat) down: vec2<f32>,
    @location(3) @interpolate(flat) rect: vec4<f32>,
};

// The panel that is drawn now.
var<private> base: vec2<f32>;
var<private> right: vec2<f32>;
var<private> down: vec2<f32>;
var<private> rect: vec4<i32>;

@vertex
fn vertex(@builtin(vertex_index) index: u32, panel: Panel) -> Drawn {
    let side = vec2<f32>(f32(index & 1u), f32(index >> 1u));
    // A pixel more on every side: one that a panel only touches shows what it touches.
    let more = (side * 2.0 - 1.0) * vec2<f32>(1.0 / max(length(panel.fast), 1e-6), 1.0 / max(length(panel.slow), 1e-6));
    let extent = side * (panel.rect.zw - panel.rect.xy) + more;
    let at = panel.corner + extent.x * panel.fast + extent.y * panel.slow;
    let place = at / view.viewport_size * 2.0 - 1.0;
    return Drawn(vec4<f32>(place.x, -place.y, 0.0, 1.0), panel.base, panel.right, panel.down, panel.rect);
}

// The frame position at a corner of a screen pixel.
fn position_of(pixel: vec2<f32>) -> vec2<f32> {
    return base + pixel.x * right + pixel.y * down;
}

// The box of frame positions under a screen pixel: low corner in xy, high corner in zw.
fn box_of(pixel: vec2<f32>) -> vec4<f32> {
    let a = position_of(pixel);
    let b = position_of(pixel + vec2<f32>(1.0, 0.0));
    let c = position_of(pixel + vec2<f32>(0.0, 1.0));
    let d = position_of(pixel + vec2<f32>(1.0, 1.0));
    return vec4<f32>(min(min(a, b), min(c, d)), max(max(a, b), max(c, d)));
}

// The cells of a level that the panel has: low corner in xy, high corner (not included) in zw.
fn limits(level: u32) -> vec4<i32> {
    let whole = (1 << level) - 1;
    return vec4<i32>(rect.xy >> vec2<u32>(level), (rect.zw + whole) >> vec2<u32>(level));
}

struct Cell { at: vec2<i32>, layer: i32 };

fn cell(p: vec2<i32>, level: u32) -> Cell {
    let tile = vec2<i32>(view.tile >> vec2<u32>(level));
    let t = p / tile;
    return Cell(p - t * tile, t.y * i32(view.tiles_x) + t.x);
}

fn value_at(p: vec2<i32>, level: u32) -> f32 {
    let c = cell(p, level);
    return textureLoad(values, c.at, c.layer, i32(level)).r;
}

fn mark_at(p: vec2<i32>, level: u32) -> u32 {
    let l = limits(level);
    if (p.x < l.x || p.y < l.y || p.x >= l.z || p.y >= l.w) { return 0u; }
    let c = cell(p, level);
    return textureLoad(marks, c.at, c.layer, i32(level)).r;
}

// The cells of a level that a screen pixel touches: low corner in xy, high corner (not included) in zw.
fn touched(pixel: vec2<f32>, level: u32) -> vec4<i32> {
    let scale = exp2(-f32(level));
    let under = box_of(pixel) * scale;
    let low = vec2<i32>(floor(under.xy + 0.001));
    let high = vec2<i32>(ceil(under.zw - 0.001));
    let l = limits(level);
    return vec4<i32>(max(low, l.xy), min(max(high, low + 1), l.zw));
}

// The cells of a level dealt out to the screen pixels without overlap: low corner in xy, high corner (not included) in zw.
fn share(pixel: vec2<f32>, level: u32) -> vec4<i32> {
    let scale = exp2(-f32(level));
    let under = box_of(pixel) * scale;
    let low = vec2<i32>(floor(under.xy));
    let high = vec2<i32>(floor(under.zw));
    let l = limits(level);
    return vec4<i32>(max(low, l.xy), min(max(high, low + 1), l.zw));
}

fn marks_of(pixel: vec2<f32>, level: u32) -> u32 {
    if (view.texels_per_pixel <= 1.0) {
        return mark_at(vec2<i32>(floor(position_of(pixel + 0.5))), 0u);
    }
    let s = share(pixel, level);
    var all = 0u;
    for (var y = s.y; y < s.w; y++) {
        for (var x = s.x; x < s.z; x++) {
            let c = cell(vec2<i32>(x, y), level);
            all |= textureLoad(marks, c.at, c.layer, i32(level)).r;
        }
    }
    return all;
}

fn curve(u: f32) -> f32 {
    switch view.curve {
        case 1u: { return log(1.0 + 1000.0 * u) / 6.90875478; }
        case 2u: { return sqrt(u); }
        case 3u: { return asinh(10.0 * u) / 2.99822295; }
        default: { return u; }
    }
}

fn tone(value: f32) -> vec3<f32> {
    let u = clamp((value - view.low) / (view.high - view.low), 0.0, 1.0);
    let step = u32(clamp(curve(u), 0.0, 1.0) * 255.0 + 0.5);
    return view.map[min(step, 255u)].rgb;
}

fn class_color(bits: u32) -> vec3<f32> {
    if ((bits & IS_PEAK) != 0u) { return view.peak.rgb; }
    if ((bits & IS_ARTIFACT) != 0u) { return view.artifact.rgb; }
    return view.ignore.rgb;
}

// One layer of classes over a colour. `own` are the bits here, `edge` those whose outline passes here.
fn overlay(under: vec3<f32>, own: u32, edge: u32, opacity: f32, pixel: vec2<f32>, is_net: bool) -> vec3<f32> {
    var color = under;
    let diagonal = (i32(pixel.x) + i32(pixel.y)) % 8;
    if ((own & IS_IGNORE) != 0u && diagonal < 2) {
        color = mix(color, view.ignore.rgb, 0.75 * opacity);
    }
    if (view.is_fill != 0u) {
        let filled = own & (IS_PEAK | IS_ARTIFACT);
        if (filled != 0u) { color = mix(color, class_color(filled), 0.6 * opacity); }
    } else if (edge != 0u) {
        let is_gap = is_net && view.texels_per_pixel < 0.3 && diagonal >= 5;
        if (!is_gap) { color = mix(color, class_color(edge), opacity); }
    }
    return color;
}

fn finish(color: vec3<f32>) -> vec4<f32> {
    var c = color;
    if (view.is_srgb != 0u) {
        let low = c / 12.92;
        let high = pow((c + 0.055) / 1.055, vec3<f32>(2.4));
        c = select(high, low, c <= vec3<f32>(0.04045));
    }
    return vec4<f32>(c, 1.0);
}

@fragment
fn fragment(drawn: Drawn) -> @location(0) vec4<f32> {
    base = drawn.base;
    right = drawn.right;
    down = drawn.down;
    rect = vec4<i32>(drawn.rect);
    let pixel = floor(drawn.position.xy - view.viewport_min);
    let f = view.texels_per_pixel;
    let top = (view.levels & 0xffu) - 1u;
    let finest = view.levels >> 8u;
    let level = max(min(u32(max(floor(log2(max(f, 1.0))) - 1.0, 0.0)), top), finest);
    let mark_level = min(u32(floor(log2(max(f, 1.0)))), top);

    var value = BAD;
    if (f <= 1.0 && finest == 0u) {
        let texel = vec2<i32>(floor(position_of(pixel + 0.5)));
        if (texel.x < rect.x || texel.y < rect.y || texel.x >= rect.z || texel.y >= rect.w) { discard; }
        value = value_at(texel, 0u);
    } else {
        let s = touched(pixel, level);
        if (s.x >= s.z || s.y >= s.w) { discard; }
        for (var y = s.y; y < s.w; y++) {
            for (var x = s.x; x < s.z; x++) {
                value = max(value, value_at(vec2<i32>(x, y), level));
            }
        }
    }
    var color = tone(value);
    if (value < -2.9e38) { color = view.bad.rgb; }

    if (view.label_opacity > 0.0 || view.net_opacity > 0.0) {
        let own = marks_of(pixel, mark_level);
        var edge = 0u;
        if (view.is_fill == 0u) {
            if (f < 0.4) {
                // A line along the inner edge of each region.
                if (own != 0u) {
                    let at = position_of(pixel + 0.5);
                    let texel = vec2<i32>(floor(at));
                    let inside = (at - floor(at)) / f;
                    let rest = 1.0 / f - inside;
                    let w = view.outline_px;
                    if (inside.x < w) { edge |= own & ~mark_at(texel - vec2<i32>(1, 0), 0u); }
                    if (rest.x < w) { edge |= own & ~mark_at(texel + vec2<i32>(1, 0), 0u); }
                    if (inside.y < w) { edge |= own & ~mark_at(texel - vec2<i32>(0, 1), 0u); }
                    if (rest.y < w) { edge |= own & ~mark_at(texel + vec2<i32>(0, 1), 0u); }
                }
            } else {
                // Too small for that: a line around it, so that the pixels it judges stay visible.
                let around = marks_of(pixel + vec2<f32>(1.0, 0.0), mark_level)
                    | marks_of(pixel - vec2<f32>(1.0, 0.0), mark_level)
                    | marks_of(pixel + vec2<f32>(0.0, 1.0), mark_level)
                    | marks_of(pixel - vec2<f32>(0.0, 1.0), mark_level);
                edge = around & ~own;
            }
        }
        if (view.net_opacity > 0.0) {
            color = overlay(color, own >> NET_SHIFT, edge >> NET_SHIFT, view.net_opacity, pixel, true);
        }
        if (view.label_opacity > 0.0) {
            color = overlay(color, own & LABEL, edge & LABEL, view.label_opacity, pixel, false);
        }
    }
    return finish(mix(view.background.rgb, color, view.presence));
}
