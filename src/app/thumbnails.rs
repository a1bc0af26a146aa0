//! Thumbnails of the frames that are looked at, as textures.

use std::collections::HashMap;
use std::sync::Arc;

use egui::{Color32, ColorImage, TextureHandle, TextureOptions, Ui};

use super::theme;
use crate::domain::grid::Grid;
use crate::domain::tone::ColorMap;
use crate::session::Session;
use crate::session::command::Command;

/// Textures kept beyond those on screen.
const KEPT: usize = 300;

/// The textures that were made, and the frames that were drawn with this picture of the window.
#[derive(Default)]
pub struct Thumbnails {
    textures: HashMap<usize, Made>,
    looked_at: Vec<usize>,
}

struct Made {
    of: Arc<Grid<u8>>,
    map: ColorMap,
    texture: TextureHandle,
}

impl std::fmt::Debug for Thumbnails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Thumbnails").finish_non_exhaustive()
    }
}

impl Thumbnails {
    /// Draws a frame's thumbnail, or an empty place until it is there.
    pub fn draw(&mut self, ui: &mut Ui, session: &Session, number: usize) {
        self.looked_at.push(number);
        let Some(picture) = session.thumbnails.get(number) else {
            return;
        };
        let map = session.tone.map;
        let is_fresh = self
            .textures
            .get(&number)
            .is_some_and(|made| made.map == map && Arc::ptr_eq(&made.of, picture));
        if !is_fresh {
            if self.textures.len() > KEPT {
                self.textures.clear();
            }
            let pixels: Vec<Color32> = picture
                .cells()
                .iter()
                .map(|value| {
                    let [r, g, b] = map.color(f32::from(*value) / 255.0);
                    theme::tone_color(r, g, b)
                })
                .collect();
            let image = ColorImage::new([picture.width(), picture.height()], pixels);
            let name = format!("thumbnail {number}");
            let texture = ui.ctx().load_texture(name, image, TextureOptions::NEAREST);
            let of = picture.clone();
            self.textures.insert(number, Made { of, map, texture });
        }
        if let Some(made) = self.textures.get(&number) {
            let image = egui::Image::new(&made.texture);
            ui.add(image.max_size(egui::Vec2::splat(theme::THUMBNAIL - 4.0)));
        }
    }

    /// Asks for what was looked at and is not there, once.
    pub fn ask(&mut self, session: &Session, commands: &mut Vec<Command>) {
        let looked_at = std::mem::take(&mut self.looked_at);
        if looked_at != session.thumbnails.wanted {
            commands.push(Command::WantThumbnails(looked_at));
        }
    }
}
