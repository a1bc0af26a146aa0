//! Signs over the frame that may be tens of thousands: found and listed peaks, differences.
//!
//! They are put on the graphics card when they change, and drawn from there with every picture; the window's own painter would
//! take longer than a picture may for so many.

use std::sync::Arc;

use egui::Rect;
use egui_wgpu::{CallbackResources, CallbackTrait, RenderState, ScreenDescriptor};

use super::{gpu, theme};
use crate::domain::assembly::Assembly;
use crate::domain::difference::{Comparison, Kind};
use crate::domain::listed::Listed;
use crate::session::Session;
use crate::session::job::Predicted;

/// One sign; the layout of `Sign` in signs.wgsl.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Sign {
    /// In the plane that is shown.
    at: [f32; 2],
    /// Half its size, frame pixels.
    reach: f32,
    style: u32,
}

const ATTRIBUTES: [wgpu::VertexAttribute; 3] =
    wgpu::vertex_attr_array![0 => Float32x2, 1 => Float32, 2 => Uint32];

/// What a sign says, in the order of [`styles`].
#[derive(Clone, Copy)]
enum Meaning {
    Found,
    Reflection,
    Listed,
    Agreed,
    Missed,
    Added,
}

/// How signs of one meaning are drawn; the layout of `Style` in signs.wgsl, still in points.
#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
struct Style {
    color: [f32; 4],
    shade: [f32; 4],
    factor: f32,
    least: f32,
    most: f32,
    width: f32,
    shade_width: f32,
    shape: u32,
    unused: [f32; 2],
}

fn styles() -> [Style; 6] {
    let colors = |color: egui::Color32, shade: egui::Color32| Style {
        color: color.to_normalized_gamma_f32(),
        shade: shade.to_normalized_gamma_f32(),
        factor: 1.0,
        width: 1.0,
        ..Style::default()
    };
    let [square, circle, diamond, triangle] = [0, 1, 2, 3];
    [
        Style {
            least: 6.0,
            most: 1e6,
            shape: square,
            ..colors(theme::FOUND, theme::FOUND_SHADE)
        },
        Style {
            least: 5.0,
            most: 40.0,
            shade_width: 2.0,
            shape: circle,
            ..colors(theme::RING, theme::FOUND_SHADE)
        },
        Style {
            least: 5.0,
            most: 40.0,
            factor: 1.35,
            shade_width: 2.0,
            shape: diamond,
            ..colors(theme::LISTED, theme::FOUND_SHADE)
        },
        Style {
            least: 6.0,
            most: 160.0,
            shape: circle,
            ..colors(theme::AGREED, egui::Color32::TRANSPARENT)
        },
        Style {
            least: 6.0,
            most: 160.0,
            factor: 1.4,
            width: 2.0,
            shade_width: 3.6,
            shape: diamond,
            ..colors(theme::MISSED, theme::SHADE)
        },
        // Above the peak, so that it hides nothing of it.
        Style {
            least: 6.0,
            most: 160.0,
            factor: 0.8,
            shade_width: 1.0,
            shape: triangle,
            ..colors(theme::ADDED, theme::SHADE)
        },
    ]
}

/// What the signs were made from; each is replaced as a whole when it changes.
#[derive(Clone, Debug, Default)]
struct Source {
    plane: Option<Arc<Assembly>>,
    predicted: Option<Arc<Predicted>>,
    listed: Option<Arc<Listed>>,
    comparison: Option<Arc<Comparison>>,
}

impl Source {
    fn of(session: &Session) -> Self {
        let layers = &session.layers;
        let plane = session.plane().cloned();
        if let Some(comparison) = session.comparison() {
            // It says of every peak what the other two would say of one side.
            return Self {
                plane,
                comparison: Some(comparison.clone()),
                ..Self::default()
            };
        }
        let shown = session.shown.as_ref();
        let listed = shown.and_then(|shown| shown.loaded.listed.clone());
        let predicted = session.shown_prediction().cloned();
        Self {
            plane,
            listed: listed.filter(|_| layers.listed),
            predicted: predicted.filter(|_| layers.peaks && session.triage.current.is_none()),
            comparison: None,
        }
    }

    fn is(&self, other: &Self) -> bool {
        fn same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
            match (a, b) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (None, None) => true,
                _ => false,
            }
        }
        same(self.plane.as_ref(), other.plane.as_ref())
            && same(self.predicted.as_ref(), other.predicted.as_ref())
            && same(self.listed.as_ref(), other.listed.as_ref())
            && same(self.comparison.as_ref(), other.comparison.as_ref())
    }

    fn signs(&self) -> Arc<[Sign]> {
        let mut signs = Vec::new();
        let mut add = |x: f32, y: f32, reach: f32, meaning: Meaning| {
            let at = match &self.plane {
                Some(plane) => plane.plane_from_raw(f64::from(x), f64::from(y)),
                None => Some([x, y].map(f64::from)),
            };
            // Pixels of no panel are nowhere.
            if let Some(at) = at {
                signs.push(Sign {
                    at: at.map(|edge| edge as f32),
                    reach,
                    style: meaning as u32,
                });
            }
        };
        if let Some(listed) = &self.listed {
            for reflection in &listed.predicted {
                add(reflection.x, reflection.y, 4.0, Meaning::Reflection);
            }
            for (x, y) in &listed.found {
                add(*x, *y, 4.0, Meaning::Listed);
            }
        }
        for peak in self.predicted.iter().flat_map(|predicted| &predicted.peaks) {
            add(peak.x, peak.y, peak.radius + 1.5, Meaning::Found);
        }
        for mark in self.comparison.iter().flat_map(|found| &found.marks) {
            let meaning = match mark.kind {
                Kind::Agreed => Meaning::Agreed,
                Kind::Missed => Meaning::Missed,
                Kind::Added => Meaning::Added,
            };
            add(mark.x, mark.y, mark.radius + 1.5, meaning);
        }
        signs.into()
    }
}

/// The signs of what is shown, made anew only when that changes.
#[derive(Clone, Debug, Default)]
pub struct Signs {
    source: Source,
    signs: Arc<[Sign]>,
}

impl Signs {
    /// Those of the shown frame.
    pub fn of(&mut self, session: &Session) -> Arc<[Sign]> {
        let source = Source::of(session);
        if !source.is(&self.source) {
            self.signs = source.signs();
            self.source = source;
        }
        self.signs.clone()
    }
}

/// What the shader is told each time; the layout of `View` in signs.wgsl.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Uniform {
    viewport_min: [f32; 2],
    viewport_size: [f32; 2],
    center: [f32; 2],
    zoom: f32,
    scale: f32,
    is_srgb: u32,
    unused: [u32; 3],
    styles: [Style; 6],
}

/// The signs' share of the graphics card.
pub struct SignPainter {
    pipeline: wgpu::RenderPipeline,
    uniform: wgpu::Buffer,
    group: wgpu::BindGroup,
    is_srgb: bool,
}

impl SignPainter {
    pub fn new(state: &RenderState) -> Self {
        let device = &state.device;
        let shader = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("signs"),
            source: wgpu::ShaderSource::Wgsl(
                include_str!("../../assets/shaders/signs.wgsl").into(),
            ),
        });
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("signs"),
            entries: &[wgpu::BindGroupLayoutEntry {
                binding: 0,
                visibility: wgpu::ShaderStages::VERTEX_FRAGMENT,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Uniform,
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            }],
        });
        let target = wgpu::ColorTargetState {
            format: state.target_format,
            blend: Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING),
            write_mask: wgpu::ColorWrites::ALL,
        };
        let pipeline = gpu::instances(
            device,
            "signs",
            &layout,
            &shader,
            (size_of::<Sign>(), &ATTRIBUTES),
            target,
        );
        let uniform = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("signs"),
            size: size_of::<Uniform>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("signs"),
            layout: &layout,
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: uniform.as_entire_binding(),
            }],
        });
        Self {
            pipeline,
            uniform,
            group,
            is_srgb: state.target_format.is_srgb(),
        }
    }

    /// The shape that draws the signs into `rect`; `None` where there are none.
    ///
    /// `center` is the position of the plane in its middle, `zoom` in points per frame pixel.
    pub fn shape(
        &self,
        rect: Rect,
        signs: Arc<[Sign]>,
        center: [f32; 2],
        zoom: f32,
    ) -> Option<egui::Shape> {
        if signs.is_empty() {
            return None;
        }
        let uniform = Uniform {
            viewport_min: [rect.min.x, rect.min.y],
            viewport_size: [rect.width(), rect.height()],
            center,
            zoom,
            scale: 1.0,
            is_srgb: u32::from(self.is_srgb),
            unused: [0; 3],
            styles: styles(),
        };
        let paint = Paint {
            uniform: Box::new(uniform),
            signs,
            buffer: self.uniform.clone(),
            pipeline: self.pipeline.clone(),
            group: self.group.clone(),
        };
        let callback = egui_wgpu::Callback::new_paint_callback(rect, paint);
        Some(egui::Shape::Callback(callback))
    }
}

/// The signs that are on the card.
struct OnCard {
    signs: Arc<[Sign]>,
    buffer: wgpu::Buffer,
}

struct Paint {
    /// Still in points where it speaks of the screen.
    uniform: Box<Uniform>,
    signs: Arc<[Sign]>,
    buffer: wgpu::Buffer,
    pipeline: wgpu::RenderPipeline,
    group: wgpu::BindGroup,
}

impl CallbackTrait for Paint {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        screen: &ScreenDescriptor,
        _encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        let mut uniform = *self.uniform;
        let scale = screen.pixels_per_point;
        uniform.viewport_min = uniform.viewport_min.map(|edge| (edge * scale).round());
        uniform.viewport_size = uniform.viewport_size.map(|edge| (edge * scale).round());
        uniform.zoom *= scale;
        uniform.scale = scale;
        for style in &mut uniform.styles {
            style.least *= scale;
            style.most *= scale;
            style.width *= scale;
            style.shade_width *= scale;
        }
        queue.write_buffer(&self.buffer, 0, bytemuck::bytes_of(&uniform));
        let there = resources.get::<OnCard>();
        if there.is_none_or(|there| !Arc::ptr_eq(&there.signs, &self.signs)) {
            let bytes = size_of_val::<[Sign]>(&self.signs) as u64;
            let fits = |there: &&OnCard| there.buffer.size() >= bytes;
            let buffer = there.filter(fits).map(|there| there.buffer.clone());
            let buffer = buffer.unwrap_or_else(|| {
                device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("signs"),
                    size: bytes,
                    usage: wgpu::BufferUsages::VERTEX | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                })
            });
            queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&self.signs));
            resources.insert(OnCard {
                signs: self.signs.clone(),
                buffer,
            });
        }
        Vec::new()
    }

    fn paint(
        &self,
        _info: egui::PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        resources: &CallbackResources,
    ) {
        let Some(there) = resources.get::<OnCard>() else {
            return;
        };
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.set_vertex_buffer(0, there.buffer.slice(..));
        pass.draw(0..4, 0..self.signs.len() as u32);
    }
}
