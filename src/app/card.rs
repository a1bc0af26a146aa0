//! What of a frame is on the graphics card: counts and classes with their pyramids, put there from any thread.

use std::ops::Range;

use super::pyramid::{LEVELS, Marks, Piece, Tiling, is_blank, value_bands};
use crate::domain::frame::Frame;
use crate::domain::grid::{Grid, PixelRect};
use crate::domain::labels::Sheet;

/// Counts of a frame with their maximum pyramid, on the graphics card; a second handle to the same texture when cloned.
#[derive(Clone)]
pub struct Counts {
    pub(super) tiling: Tiling,
    pub(super) texture: wgpu::Texture,
    /// The finest level of the pyramid that is there.
    pub(super) finest: usize,
}

/// The finest level that is looked at when so many pixels of the frame fall onto one of the screen; as in canvas.wgsl.
pub fn level_for(texels_per_pixel: f32) -> usize {
    let level = texels_per_pixel.max(1.0).log2().floor() - 1.0;
    (level.max(0.0) as usize).min(LEVELS - 1)
}

/// Classes of label and net with their pyramid, on the graphics card and as a shadow in memory.
pub struct Classes {
    pub(super) tiling: Tiling,
    pub(super) texture: wgpu::Texture,
    shadow: Marks,
    /// There is no class anywhere: a frame without any needs no upload.
    is_clear: bool,
}

/// The graphics card for whoever puts frames on it, from any thread.
#[derive(Clone)]
pub struct Card {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
}

/// Textures that nothing draws any more; those of the right size are used again.
#[derive(Default)]
pub struct Spare {
    pub counts: Option<Counts>,
    pub classes: Option<Classes>,
}

impl Counts {
    pub const fn finest(&self) -> usize {
        self.finest
    }
}

impl Card {
    fn tiling(&self, width: usize, height: usize) -> Result<Tiling, String> {
        let limits = self.device.limits();
        Tiling::new(width, height, limits.max_texture_dimension_2d as usize)
            .filter(|t| (t.tiles_x * t.tiles_y) as u32 <= limits.max_texture_array_layers)
            .ok_or_else(|| {
                format!("A frame of {width} x {height} pixels is too large for this graphics card.")
            })
    }

    /// Puts levels of the maximum pyramid of a frame's pixels on the card; a sentence where it is too large for it.
    pub fn counts(
        &self,
        frame: &Frame,
        is_bad_shown: bool,
        spare: Option<Counts>,
        levels: Range<usize>,
    ) -> Result<Counts, String> {
        let tiling = self.tiling(frame.width(), frame.height())?;
        let counts = spare.filter(|spare| spare.tiling == tiling);
        let mut counts = counts.unwrap_or_else(|| Counts {
            tiling,
            texture: self.texture("counts", tiling, wgpu::TextureFormat::R32Float),
            finest: 0,
        });
        counts.finest = levels.start;
        value_bands(frame, is_bad_shown, |level, top, cells| {
            if levels.contains(&level) {
                let rect = PixelRect::new(0, top, cells.width(), top + cells.height());
                for piece in tiling.pieces(rect, level) {
                    self.upload(&counts.texture, cells, top, piece, level);
                }
            }
            if level + 1 == LEVELS {
                // Hands the band over, so that the window never waits for more than one.
                self.queue.submit([]);
            }
        });
        Ok(counts)
    }

    /// Puts the classes of label and net on the card.
    pub fn classes(
        &self,
        (width, height): (usize, usize),
        label: Option<&Sheet>,
        net: Option<&Sheet>,
        spare: Option<Classes>,
    ) -> Result<Classes, String> {
        let tiling = self.tiling(width, height)?;
        let classes = spare.filter(|spare| spare.tiling == tiling);
        let mut classes = classes.unwrap_or_else(|| Classes {
            tiling,
            texture: self.texture("classes", tiling, wgpu::TextureFormat::R8Uint),
            shadow: Marks::new(width, height),
            is_clear: true,
        });
        let has_none = |sheet: Option<&Sheet>| sheet.is_none_or(is_blank);
        let shall_be_clear = has_none(label) && has_none(net);
        if shall_be_clear && classes.is_clear {
            return Ok(classes);
        }
        self.mark(
            &mut classes,
            PixelRect::new(0, 0, width, height),
            label,
            net,
        );
        classes.is_clear = shall_be_clear;
        self.queue.submit([]);
        Ok(classes)
    }

    /// Takes over the classes of label and net within a rectangle of the frame.
    pub(super) fn mark(
        &self,
        classes: &mut Classes,
        rect: PixelRect,
        label: Option<&Sheet>,
        net: Option<&Sheet>,
    ) {
        classes.is_clear = false;
        let touched = classes.shadow.update(rect, label, net);
        for (level, (cells, rect)) in classes.shadow.levels.iter().zip(touched).enumerate() {
            for piece in classes.tiling.pieces(rect, level) {
                self.upload(&classes.texture, cells, 0, piece, level);
            }
        }
    }

    fn texture(&self, label: &str, tiling: Tiling, format: wgpu::TextureFormat) -> wgpu::Texture {
        self.device.create_texture(&wgpu::TextureDescriptor {
            label: Some(label),
            size: wgpu::Extent3d {
                width: tiling.tile_width as u32,
                height: tiling.tile_height as u32,
                depth_or_array_layers: (tiling.tiles_x * tiling.tiles_y) as u32,
            },
            mip_level_count: LEVELS as u32,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        })
    }

    /// Writes one piece of a level straight from the grid's rows; the grid begins at row `top` of the level.
    fn upload<T: bytemuck::Pod>(
        &self,
        texture: &wgpu::Texture,
        cells: &Grid<T>,
        top: usize,
        piece: Piece,
        level: usize,
    ) {
        let (source, stride) = (piece.source, cells.width());
        let first = (source.y0 - top) * stride + source.x0;
        let end = (source.y1 - top - 1) * stride + source.x1;
        let Some(part) = cells.cells().get(first..end) else {
            return;
        };
        self.queue.write_texture(
            wgpu::TexelCopyTextureInfo {
                texture,
                mip_level: level as u32,
                origin: wgpu::Origin3d {
                    x: piece.x as u32,
                    y: piece.y as u32,
                    z: piece.layer as u32,
                },
                aspect: wgpu::TextureAspect::All,
            },
            bytemuck::cast_slice(part),
            wgpu::TexelCopyBufferLayout {
                offset: 0,
                bytes_per_row: Some((stride * size_of::<T>()) as u32),
                rows_per_image: None,
            },
            wgpu::Extent3d {
                width: source.width() as u32,
                height: source.height() as u32,
                depth_or_array_layers: 1,
            },
        );
    }
}
