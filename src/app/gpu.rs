//! How the canvas draws what is on the graphics card: pipeline, uniforms, paint callback, and the adapter itself.

use std::sync::Arc;

use egui_wgpu::{CallbackResources, CallbackTrait, RenderState, ScreenDescriptor};

use super::card::{Card, Classes, Counts, Spare};
use super::pyramid::LEVELS;
use super::signs::SignPainter;
use super::theme;
use crate::domain::grid::PixelRect;
use crate::domain::labels::Sheet;
use crate::domain::tone::Tone;

/// What the shader is told each time; the layout of `View` in canvas.wgsl.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Uniform {
    viewport_min: [f32; 2],
    viewport_size: [f32; 2],
    size: [u32; 2],
    tile: [u32; 2],
    tiles_x: u32,
    levels: u32,
    texels_per_pixel: f32,
    curve: u32,
    low: f32,
    high: f32,
    is_srgb: u32,
    is_fill: u32,
    label_opacity: f32,
    net_opacity: f32,
    outline_px: f32,
    presence: f32,
    background: [f32; 4],
    peak: [f32; 4],
    artifact: [f32; 4],
    ignore: [f32; 4],
    bad: [f32; 4],
    map: [[f32; 4]; 256],
}

/// One panel as the shader is told; the layout of `Panel` in canvas.wgsl.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Instance {
    corner: [f32; 2],
    fast: [f32; 2],
    slow: [f32; 2],
    base: [f32; 2],
    right: [f32; 2],
    down: [f32; 2],
    rect: [f32; 4],
}

const ATTRIBUTES: [wgpu::VertexAttribute; 7] = wgpu::vertex_attr_array![
    0 => Float32x2, 1 => Float32x2, 2 => Float32x2, 3 => Float32x2, 4 => Float32x2, 5 => Float32x2, 6 => Float32x4
];

/// More panels than any detector has are not drawn.
const MOST_PANELS: usize = 2048;

/// A panel of the slab and where it lies on the canvas, in points from the canvas' top left corner.
#[derive(Clone, Copy, Debug)]
pub struct Quad {
    pub rect: PixelRect,
    pub corner: [f32; 2],
    /// Points of one pixel along x and y of the slab.
    pub fast: [f32; 2],
    pub slow: [f32; 2],
}

impl Quad {
    /// In physical pixels, with the way back from the screen to the slab.
    fn instance(&self, scale: f32) -> Instance {
        let [corner, fast, slow] =
            [self.corner, self.fast, self.slow].map(|v| v.map(|v| f64::from(v * scale)));
        let area = fast[0] * slow[1] - fast[1] * slow[0];
        let right = [slow[1] / area, -fast[1] / area];
        let down = [-slow[0] / area, fast[0] / area];
        let start = [self.rect.x0 as f64, self.rect.y0 as f64];
        let base = [0, 1].map(|i| start[i] - corner[0] * right[i] - corner[1] * down[i]);
        let single = |v: [f64; 2]| v.map(|v| v as f32);
        Instance {
            corner: single(corner),
            fast: single(fast),
            slow: single(slow),
            base: single(base),
            right: single(right),
            down: single(down),
            rect: [
                self.rect.x0 as f32,
                self.rect.y0 as f32,
                self.rect.x1 as f32,
                self.rect.y1 as f32,
            ],
        }
    }
}

/// The knobs of the picture; none of them needs an upload.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub tone: Tone,
    /// 0 = not drawn.
    pub label_opacity: f32,
    pub net_opacity: f32,
    pub is_filled: bool,
    /// 1 = full colour, less = an old frame that waits for the next.
    pub presence: f32,
}

/// What is drawn now.
struct Textures {
    counts: Counts,
    classes: Classes,
    group: wgpu::BindGroup,
}

/// The canvas' share of the graphics card.
pub struct Gpu {
    pub card: Card,
    pub signs: SignPainter,
    pipeline: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
    uniform: wgpu::Buffer,
    panels: wgpu::Buffer,
    is_srgb: bool,
    textures: Option<Textures>,
    /// What was drawn before, to be written over by the next upload.
    spare: Spare,
}

impl Gpu {
    /// Builds the pipeline once; the state comes from eframe or from the screenshot harness.
    pub fn new(state: &RenderState) -> Self {
        let device = state.device.clone();
        let shader = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("canvas"),
            source: wgpu::ShaderSource::Wgsl(
                include_str!("../../assets/shaders/canvas.wgsl").into(),
            ),
        });
        let texture = |binding, sample_type| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::FRAGMENT,
            ty: wgpu::BindingType::Texture {
                sample_type,
                view_dimension: wgpu::TextureViewDimension::D2Array,
                multisampled: false,
            },
            count: None,
        };
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("canvas"),
            entries: &[
                wgpu::BindGroupLayoutEntry {
                    binding: 0,
                    visibility: wgpu::ShaderStages::VERTEX_FRAGMENT,
                    ty: wgpu::BindingType::Buffer {
                        ty: wgpu::BufferBindingType::Uniform,
                        has_dynamic_offset: false,
                        min_binding_size: None,
                    },
                    count: None,
                },
                texture(1, wgpu::TextureSampleType::Float { filterable: false }),
                texture(2, wgpu::TextureSampleType::Uint),
            ],
        });
        let pipeline = instances(
            &device,
            "canvas",
            &layout,
            &shader,
            (size_of::<Instance>(), &ATTRIBUTES),
            state.target_format.into(),
        );
        let uniform = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("canvas"),
            size: size_of::<Uniform>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let panels = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("panels"),
            size: (size_of::<Instance>() * MOST_PANELS) as u64,
            usage: wgpu::BufferUsages::VERTEX | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self {
            is_srgb: state.target_format.is_srgb(),
            signs: SignPainter::new(state),
            card: Card {
                device,
                queue: state.queue.clone(),
            },
            pipeline,
            layout,
            uniform,
            panels,
            textures: None,
            spare: Spare::default(),
        }
    }

    /// Drops the frame's textures.
    pub fn clear(&mut self) {
        self.textures = None;
        self.spare = Spare::default();
    }

    /// Draws these from now on; counts that are not given stay as they are.
    pub fn show(&mut self, counts: Option<Counts>, classes: Classes) {
        let (counts, old) = match (counts, self.textures.take()) {
            (Some(counts), old) => (counts, old.map(|old| (Some(old.counts), old.classes))),
            (None, Some(old)) => (old.counts, Some((None, old.classes))),
            (None, None) => return,
        };
        if let Some((counts, classes)) = old {
            self.spare.counts = counts.or(self.spare.counts.take());
            self.spare.classes = Some(classes);
        }
        let view = |texture: &wgpu::Texture| {
            texture.create_view(&wgpu::TextureViewDescriptor {
                dimension: Some(wgpu::TextureViewDimension::D2Array),
                ..wgpu::TextureViewDescriptor::default()
            })
        };
        let (counts_view, classes_view) = (view(&counts.texture), view(&classes.texture));
        let entry = |binding, view| wgpu::BindGroupEntry {
            binding,
            resource: wgpu::BindingResource::TextureView(view),
        };
        let group = self
            .card
            .device
            .create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("canvas"),
                layout: &self.layout,
                entries: &[
                    wgpu::BindGroupEntry {
                        binding: 0,
                        resource: self.uniform.as_entire_binding(),
                    },
                    entry(1, &counts_view),
                    entry(2, &classes_view),
                ],
            });
        self.textures = Some(Textures {
            counts,
            classes,
            group,
        });
    }

    /// Textures to write over; those that were delivered but never drawn come back here, too.
    pub fn spare(&mut self) -> &mut Spare {
        &mut self.spare
    }

    /// The counts that are drawn now.
    pub fn drawn(&self) -> Option<&Counts> {
        self.textures.as_ref().map(|textures| &textures.counts)
    }

    /// The finer levels of the counts that are drawn are there now.
    pub fn set_whole(&mut self) {
        if let Some(textures) = &mut self.textures {
            textures.counts.finest = 0;
        }
    }

    /// Takes over the classes of label and net within a rectangle of the frame.
    pub fn set_marks(&mut self, rect: PixelRect, label: Option<&Sheet>, net: Option<&Sheet>) {
        if let Some(textures) = &mut self.textures {
            self.card.mark(&mut textures.classes, rect, label, net);
        }
    }

    /// The shape that draws the frame into `rect`; `None` before the first frame.
    ///
    /// `zoom` is in points per frame pixel.
    pub fn shape(
        &self,
        rect: egui::Rect,
        mut quads: Vec<Quad>,
        zoom: f32,
        look: &Look,
    ) -> Option<egui::Shape> {
        let textures = self.textures.as_ref()?;
        let tiling = textures.counts.tiling;
        let uniform = Uniform {
            viewport_min: [rect.min.x, rect.min.y],
            viewport_size: [rect.width(), rect.height()],
            size: [tiling.width as u32, tiling.height as u32],
            tile: [tiling.tile_width as u32, tiling.tile_height as u32],
            tiles_x: tiling.tiles_x as u32,
            levels: (LEVELS | textures.counts.finest << 8) as u32,
            texels_per_pixel: 1.0 / zoom,
            curve: look.tone.curve.code(),
            low: look.tone.low,
            high: look.tone.high,
            is_srgb: u32::from(self.is_srgb),
            is_fill: u32::from(look.is_filled),
            label_opacity: look.label_opacity,
            net_opacity: look.net_opacity,
            outline_px: 1.5,
            presence: look.presence,
            background: shader_color(theme::CANVAS),
            peak: shader_color(theme::PEAK),
            artifact: shader_color(theme::ARTIFACT),
            ignore: shader_color(theme::IGNORE),
            bad: shader_color(theme::BAD),
            map: look.tone.map.table().map(|[r, g, b]| {
                [
                    f32::from(r) / 255.0,
                    f32::from(g) / 255.0,
                    f32::from(b) / 255.0,
                    1.0,
                ]
            }),
        };
        quads.truncate(MOST_PANELS);
        let paint = Paint {
            uniform: Box::new(uniform),
            quads,
            buffer: self.uniform.clone(),
            panels: self.panels.clone(),
            pipeline: self.pipeline.clone(),
            group: textures.group.clone(),
        };
        Some(egui::Shape::Callback(
            egui_wgpu::Callback::new_paint_callback(rect, paint),
        ))
    }
}

fn shader_color(color: egui::Color32) -> [f32; 4] {
    color.to_normalized_gamma_f32()
}

struct Paint {
    /// Still in points where it speaks of the screen.
    uniform: Box<Uniform>,
    quads: Vec<Quad>,
    buffer: wgpu::Buffer,
    panels: wgpu::Buffer,
    pipeline: wgpu::RenderPipeline,
    group: wgpu::BindGroup,
}

impl CallbackTrait for Paint {
    fn prepare(
        &self,
        _device: &wgpu::Device,
        queue: &wgpu::Queue,
        screen: &ScreenDescriptor,
        _encoder: &mut wgpu::CommandEncoder,
        _resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        let mut uniform = *self.uniform;
        let scale = screen.pixels_per_point;
        uniform.viewport_min = uniform.viewport_min.map(|edge| (edge * scale).round());
        uniform.viewport_size = uniform.viewport_size.map(|edge| (edge * scale).round());
        uniform.texels_per_pixel /= scale;
        uniform.outline_px *= scale;
        queue.write_buffer(&self.buffer, 0, bytemuck::bytes_of(&uniform));
        let instances: Vec<Instance> = self.quads.iter().map(|q| q.instance(scale)).collect();
        queue.write_buffer(&self.panels, 0, bytemuck::cast_slice(&instances));
        Vec::new()
    }

    fn paint(
        &self,
        _info: egui::PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        _resources: &CallbackResources,
    ) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.set_vertex_buffer(0, self.panels.slice(..));
        pass.draw(0..4, 0..self.quads.len() as u32);
    }
}

/// Raises the texture limits of the device to what the adapter allows: egui's own 8192 panics above it.
pub fn raise_limits(setup: &mut egui_wgpu::WgpuSetupCreateNew) {
    setup.device_descriptor = Arc::new(|adapter| {
        let offered = adapter.limits();
        let base = if adapter.get_info().backend == wgpu::Backend::Gl {
            wgpu::Limits::downlevel_webgl2_defaults()
        } else {
            wgpu::Limits::default()
        };
        wgpu::DeviceDescriptor {
            label: Some("peaknet"),
            required_limits: wgpu::Limits {
                max_texture_dimension_2d: offered.max_texture_dimension_2d,
                max_texture_array_layers: offered.max_texture_array_layers.min(2048),
                ..base
            },
            ..wgpu::DeviceDescriptor::default()
        }
    });
}

/// A device without a window, for screenshots and tests; `None` where there is no adapter at all.
pub fn headless() -> Result<RenderState, String> {
    // OpenGL is only tried where nothing better is: without a display its set-up complains on stderr.
    adapter(wgpu::Backends::PRIMARY).or_else(|_| adapter(wgpu::Backends::all()))
}

fn adapter(backends: wgpu::Backends) -> Result<RenderState, String> {
    let setup = egui_kittest::wgpu::default_wgpu_setup();
    let setup = match setup {
        egui_wgpu::WgpuSetup::CreateNew(mut create) => {
            create.instance_descriptor.backends = backends;
            raise_limits(&mut create);
            egui_wgpu::WgpuSetup::CreateNew(create)
        }
        existing => existing,
    };
    let config = egui_wgpu::WgpuConfiguration {
        wgpu_setup: setup.clone(),
        ..egui_wgpu::WgpuConfiguration::default()
    };
    let instance = block_on(setup.new_instance());
    let options = egui_wgpu::RendererOptions::PREDICTABLE;
    block_on(RenderState::create(&config, &instance, None, options)).map_err(|error| {
        format!("No graphics adapter was found ({error}); install a Vulkan driver, in software: mesa-vulkan-drivers.")
    })
}

/// Runs a future of wgpu to its end; natively they are ready at once.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::yield_now();
    }
}

/// A pipeline that draws one strip of triangles an instance, by the shader's `vertex` and `fragment`; `instance` is the size of
/// one in bytes, and its attributes.
pub fn instances(
    device: &wgpu::Device,
    label: &str,
    layout: &wgpu::BindGroupLayout,
    shader: &wgpu::ShaderModule,
    instance: (usize, &[wgpu::VertexAttribute]),
    target: wgpu::ColorTargetState,
) -> wgpu::RenderPipeline {
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(label),
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some(label),
        layout: Some(&pipeline_layout),
        vertex: wgpu::VertexState {
            module: shader,
            entry_point: Some("vertex"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &[Some(wgpu::VertexBufferLayout {
                array_stride: instance.0 as u64,
                step_mode: wgpu::VertexStepMode::Instance,
                attributes: instance.1,
            })],
        },
        primitive: wgpu::PrimitiveState {
            topology: wgpu::PrimitiveTopology::TriangleStrip,
            ..wgpu::PrimitiveState::default()
        },
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module: shader,
            entry_point: Some("fragment"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[Some(target)],
        }),
        multiview_mask: None,
        cache: None,
    })
}
