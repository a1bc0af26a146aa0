// Signs over the frame, one instance each: squares on found peaks, circles and diamonds of other programs, what two opinions
// agree on, miss and add. Sizes follow the zoom between bounds; lines have the same width at any zoom.

struct Style {
    color: vec4<f32>,  // premultiplied, gamma space, as egui has them
    shade: vec4<f32>,  // of the darker line beneath it
    factor: f32,       // of the size that was asked for
    least: f32,        // half the size, physical pixels, least and most
    most: f32,
    width: f32,        // of the lines, physical pixels
    shade_width: f32,
    shape: u32,
    unused: vec2<f32>,
};

struct View {
    viewport_min: vec2<f32>,  // of the canvas in the window, physical pixels
    viewport_size: vec2<f32>, // the same
    center: vec2<f32>,        // position of the plane in the middle of the canvas
    zoom: f32,                // physical pixels per frame pixel
    scale: f32,               // physical pixels per point
    is_srgb: u32,
    unused: u32,
    unused_too: vec2<f32>,
    styles: array<Style, 6>,
};

@group(0) @binding(0) var<uniform> view: View;

const SQUARE: u32 = 0u;
const CIRCLE: u32 = 1u;
const DIAMOND: u32 = 2u;
// It stands on its tip above the place.
const TRIANGLE: u32 = 3u;
const TRIANGLE_HALF: f32 = 6.0;
const TRIANGLE_HEIGHT: f32 = 10.2;

struct Sign {
    @location(0) at: vec2<f32>,   // in the plane
    @location(1) reach: f32,      // half its size, frame pixels
    @location(2) style: u32,
};

struct Drawn {
    @builtin(position) position: vec4<f32>,
    @location(0) @interpolate(flat) middle: vec2<f32>,
    @location(1) @interpolate(flat) half_size: f32,
    @location(2) @interpolate(flat) style: u32,
};

@vertex
fn vertex(@builtin(vertex_index) index: u32, sign: Sign) -> Drawn {
    let style = view.styles[sign.style];
    let middle = (sign.at - view.center) * view.zoom + view.viewport_size * 0.5;
    let half_size = clamp(sign.reach * view.zoom, style.least, style.most) * style.factor;
    let more = select(style.shade_width + 2.0, (TRIANGLE_HEIGHT + 3.0) * view.scale, style.shape == TRIANGLE);
    let side = vec2<f32>(f32(index & 1u), f32(index >> 1u)) * 2.0 - 1.0;
    let place = (middle + side * (half_size + more)) / view.viewport_size * 2.0 - 1.0;
    return Drawn(vec4<f32>(place.x, -place.y, 0.0, 1.0), middle, half_size, sign.style);
}

fn within(p: vec2<f32>, low: vec2<f32>, high: vec2<f32>) -> bool {
    return all(p >= low) && all(p < high);
}

// How much of a pixel a line covers whose middle is so far away.
fn line(distance: f32, width: f32) -> f32 {
    return clamp(width * 0.5 + 0.5 - abs(distance), 0.0, min(width, 1.0));
}

@fragment
fn fragment(drawn: Drawn) -> @location(0) vec4<f32> {
    let style = view.styles[drawn.style];
    let p = drawn.position.xy - view.viewport_min;
    let q = p - drawn.middle;
    var shade = 0.0;
    var color = 0.0;
    switch style.shape {
        case SQUARE: {
            // On whole pixels, so that thin lines stay sharp.
            let low = round(drawn.middle - drawn.half_size);
            let high = round(drawn.middle + drawn.half_size);
            let w = max(round(style.width), 1.0);
            if (within(p, low, high)) {
                color = select(1.0, 0.0, within(p, low + w, high - w));
            } else {
                shade = select(0.0, 1.0, within(p, low - w, high + w));
            }
        }
        case CIRCLE: {
            let d = length(q) - drawn.half_size;
            color = line(d, style.width);
            shade = line(d, style.shade_width);
        }
        case DIAMOND: {
            let d = (abs(q.x) + abs(q.y) - drawn.half_size) * 0.70710678;
            color = line(d, style.width);
            shade = line(d, style.shade_width);
        }
        default: {
            let up = -q.y - drawn.half_size;
            let slope = TRIANGLE_HALF / TRIANGLE_HEIGHT;
            let d = max((abs(q.x) - up * slope) / sqrt(1.0 + slope * slope), up - TRIANGLE_HEIGHT * view.scale);
            color = clamp(0.5 - d, 0.0, 1.0);
            let edge = line(d, style.shade_width);
            let out = mix(style.color * color, style.shade + style.color * color * (1.0 - style.shade.a), edge);
            return finish(out);
        }
    }
    let under = style.shade * shade;
    let over = style.color * color;
    return finish(over + under * (1.0 - over.a));
}

fn finish(color: vec4<f32>) -> vec4<f32> {
    if (color.a <= 0.0) { discard; }
    var c = color.rgb;
    if (view.is_srgb != 0u) {
        let low = c / 12.92;
        let high = pow((c + 0.055) / 1.055, vec3<f32>(2.4));
        c = select(high, low, c <= vec3<f32>(0.04045));
    }
    return vec4<f32>(c, color.a);
}
