//! The thread that puts frames on the graphics card, so that the window never waits for an upload.
//!
//! A frame that has been read is held back until its pixels and classes are on the card; only then does the session hear of
//! it. What is drawn and what may be painted on are therefore always the same frame.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};

use std::time::{Duration, Instant};

use super::Window;
use super::card::{Card, Classes, Counts, Spare, level_for};
use super::pyramid::LEVELS;
use crate::domain::frame::Frame;
use crate::domain::grid::PixelRect;
use crate::domain::labels::Sheet;
use crate::session::job::{FrameKey, Predicted, Report};

/// Who looks at a frame for so long stays with it.
const STAYS: Duration = Duration::from_millis(120);
/// A change of this many pixels of the sheet goes to the card by way of the upload thread.
const LARGE_CHANGE: usize = 1 << 20;

/// What the textures hold, to upload only what changed.
pub struct Uploaded {
    pub at: Instant,
    pub key: Option<FrameKey>,
    /// The pixels: the frame's own, or a picture in its place.
    pub frame: Option<Arc<Frame>>,
    pub is_bad_shown: bool,
    pub sheet_version: u64,
    pub prediction: Option<Arc<Predicted>>,
}

impl Default for Uploaded {
    fn default() -> Self {
        Self {
            at: Instant::now(),
            key: None,
            frame: None,
            is_bad_shown: false,
            sheet_version: 0,
            prediction: None,
        }
    }
}

/// What of a frame's pixels shall be on the card.
pub enum Pixels {
    /// They are there; classes alone.
    Stay,
    /// The levels of the pyramid from this one on: finer ones than are looked at can wait.
    From(usize),
    /// The finer levels of what is drawn, and nothing else.
    Finer(Counts),
}

/// What shall be on the card.
pub struct Order {
    pub key: FrameKey,
    pub frame: Arc<Frame>,
    pub pixels: Pixels,
    pub is_bad_shown: bool,
    pub label: Option<Arc<Sheet>>,
    pub net: Option<Arc<Predicted>>,
    /// The version of the sheet that `label` is.
    pub sheet_version: u64,
    pub spare: Spare,
}

/// What has been put on the card.
pub enum Delivered {
    /// New classes, and new counts or those that are drawn.
    Shown(Option<Counts>, Box<Classes>),
    /// The finer levels of the counts that are drawn.
    Finer,
}

/// What is there now.
pub struct Delivery {
    pub key: FrameKey,
    /// The frame that was ordered: the same number may have been read anew meanwhile.
    pub frame: Arc<Frame>,
    pub textures: Result<Delivered, String>,
    pub is_bad_shown: bool,
    pub label: Option<Arc<Sheet>>,
    pub net: Option<Arc<Predicted>>,
    pub sheet_version: u64,
}

/// The window's end of the thread; one order is under way at a time.
pub struct Uploader {
    /// `None` only while it is being dropped.
    orders: Option<Sender<Order>>,
    deliveries: Receiver<Delivery>,
    /// Whom to wake when something is there; known with the first picture.
    pub context: Arc<OnceLock<egui::Context>>,
    is_busy: bool,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Uploader {
    fn drop(&mut self) {
        // The thread ends when no order can come any more; it must not outlive the graphics card.
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Uploader {
    /// Starts the thread; it ends with the uploader.
    pub fn start(card: Card) -> std::io::Result<Self> {
        let (orders, inbox) = mpsc::channel::<Order>();
        let (outbox, deliveries) = mpsc::channel();
        let context = Arc::new(OnceLock::<egui::Context>::new());
        let wake = context.clone();
        let thread = std::thread::Builder::new()
            .name("upload".to_owned())
            .spawn(move || {
                for order in inbox {
                    if outbox.send(carry_out(&card, order)).is_err() {
                        return;
                    }
                    if let Some(context) = wake.get() {
                        context.request_repaint();
                    }
                }
            })?;
        Ok(Self {
            orders: Some(orders),
            deliveries,
            context,
            is_busy: false,
            thread: Some(thread),
        })
    }

    pub const fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Gives an order; only while none is under way.
    pub fn order(&mut self, order: Order) {
        let orders = self.orders.as_ref();
        self.is_busy = orders.is_some_and(|orders| orders.send(order).is_ok());
    }

    /// What has been carried out since the last call.
    pub fn delivery(&mut self) -> Option<Delivery> {
        let delivery = self.deliveries.try_recv().ok()?;
        self.is_busy = false;
        Some(delivery)
    }

    /// Whether the thread has ended, which it only does when the graphics card has failed.
    pub fn has_failed(&self) -> bool {
        self.thread
            .as_ref()
            .is_none_or(std::thread::JoinHandle::is_finished)
    }
}

fn carry_out(card: &Card, order: Order) -> Delivery {
    let size = (order.frame.width(), order.frame.height());
    let Spare {
        counts: spare,
        classes,
    } = order.spare;
    let pyramid = |spare, levels| card.counts(&order.frame, order.is_bad_shown, spare, levels);
    let with_classes = |counts| {
        let net = order.net.as_ref().map(|net| net.classes.as_ref());
        let classes = card.classes(size, order.label.as_deref(), net, classes)?;
        Ok(Delivered::Shown(counts, Box::new(classes)))
    };
    let textures = match order.pixels {
        Pixels::Stay => with_classes(None),
        Pixels::From(level) => pyramid(spare, level..LEVELS)
            .map(Some)
            .and_then(with_classes),
        Pixels::Finer(drawn) => {
            let missing = 0..drawn.finest();
            pyramid(Some(drawn), missing).map(|_| Delivered::Finer)
        }
    };
    Delivery {
        key: order.key,
        frame: order.frame,
        textures,
        is_bad_shown: order.is_bad_shown,
        label: order.label,
        net: order.net,
        sheet_version: order.sheet_version,
    }
}

impl Window {
    /// Brings the textures up to date: a new frame wholly and by the upload thread, a stroke as its rectangle and at once.
    pub(super) fn upload(&mut self) {
        while let Some(delivery) = self.graphics.as_mut().and_then(|g| g.uploader.delivery()) {
            self.take_delivery(delivery);
        }
        if self
            .graphics
            .as_ref()
            .is_some_and(|g| g.uploader.has_failed())
        {
            self.graphics = None;
            if let Some((key, loaded)) = self.arrival.take() {
                let result = Ok(loaded);
                self.session.absorb(Report::Frame { key, result });
            }
            self.session.notice(
                "The graphics card has failed, so frames cannot be drawn; your labels are safe, start the program again.",
            );
        }
        // The selection has moved on since this frame was read.
        if let Some((key, _)) = &self.arrival
            && self.session.pending.key != Some(*key)
        {
            self.arrival = None;
        }
        self.mark_changes();
        let order = self.next_order();
        if let (Some(graphics), Some(mut order)) = (&mut self.graphics, order) {
            if !matches!(order.pixels, Pixels::Finer(_)) {
                order.spare = std::mem::take(graphics.gpu.spare());
            }
            graphics.uploader.order(order);
        }
    }

    /// What the upload thread shall do next, if it is free: the frame that has arrived, or a large change of the shown one.
    fn next_order(&self) -> Option<Order> {
        if self.graphics.as_ref()?.uploader.is_busy() {
            return None;
        }
        let is_bad_shown = self.session.layers.bad;
        if let Some((key, loaded)) = &self.arrival {
            let labels = self.session.pending.labels.as_ref()?.as_ref().ok();
            let size = loaded.frame.pixels.rect();
            let label = labels.map(|labels| labels.sheet.clone());
            return Some(Order {
                key: *key,
                frame: loaded.frame.clone(),
                pixels: Pixels::From(self.level_wanted()),
                is_bad_shown,
                label: label.filter(|sheet| sheet.rect() == size),
                net: self.session.predictions.get(&key.number).cloned(),
                sheet_version: 0,
                spare: Spare::default(),
            });
        }
        let shown = self.session.shown.as_ref()?;
        let uploaded = &self.uploaded;
        let drawn = self.session.drawn_frame()?;
        let is_same = (uploaded.frame.as_ref()).is_some_and(|frame| Arc::ptr_eq(frame, drawn));
        let is_with_counts =
            uploaded.key != Some(shown.key) || !is_same || uploaded.is_bad_shown != is_bad_shown;
        let pixels = if is_with_counts {
            Pixels::From(self.level_wanted())
        } else if self.is_marked_wholly() {
            Pixels::Stay
        } else {
            self.finer()?
        };
        Some(Order {
            key: shown.key,
            frame: drawn.clone(),
            pixels,
            is_bad_shown,
            label: Some(shown.sheet.clone()),
            net: self.session.shown_prediction().cloned(),
            sheet_version: self.session.sheet_version,
            spare: Spare::default(),
        })
    }

    /// The finest level of the pyramid that the canvas looks at; all are wanted before its view is known.
    fn level_wanted(&self) -> usize {
        let context = self
            .graphics
            .as_ref()
            .and_then(|g| g.uploader.context.get());
        let scale = context.map_or(0.0, |ctx| ctx.pixels_per_point() * self.canvas.zoom);
        if self.session.shown.is_some() && scale > 0.0 {
            level_for(1.0 / scale)
        } else {
            0
        }
    }

    /// Whether the card has what the canvas looks at.
    pub(super) fn is_fine_enough(&self) -> bool {
        let drawn = self.graphics.as_ref().and_then(|g| g.gpu.drawn());
        drawn.is_none_or(|drawn| drawn.finest() <= self.level_wanted())
    }

    /// The finer levels of the drawn frame: at once when they are looked at, else when the curator stays.
    fn finer(&self) -> Option<Pixels> {
        let drawn = self.graphics.as_ref()?.gpu.drawn()?;
        let stays = !self.session.pending.is_waiting() && self.uploaded.at.elapsed() > STAYS;
        (drawn.finest() > 0 && (stays || self.level_wanted() < drawn.finest()))
            .then(|| Pixels::Finer(drawn.clone()))
    }

    /// Whether the classes on the card differ from those of the session in more than a small rectangle.
    fn is_marked_wholly(&self) -> bool {
        let prediction = self.session.shown_prediction();
        let is_same = match (&self.uploaded.prediction, prediction) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        !is_same
            || (self.session.sheet_version != self.uploaded.sheet_version
                && self
                    .changed_since(self.uploaded.sheet_version)
                    .is_none_or(|rect| rect.area() > LARGE_CHANGE))
    }

    /// A frame or its classes are on the card: the session may show them.
    fn take_delivery(&mut self, delivery: Delivery) {
        let Delivery {
            key,
            frame,
            textures,
            is_bad_shown,
            label,
            net,
            mut sheet_version,
        } = delivery;
        if matches!(textures, Ok(Delivered::Finer)) {
            let drawn = self.uploaded.frame.as_ref();
            let is_same = drawn.is_some_and(|drawn| Arc::ptr_eq(drawn, &frame))
                && self.uploaded.key == Some(key)
                && self.uploaded.is_bad_shown == is_bad_shown;
            if let (true, Some(graphics)) = (is_same, &mut self.graphics) {
                graphics.gpu.set_whole();
            }
            return;
        }
        // The same frame may have been asked for again meanwhile: it waits for its labels then.
        let has_labels = self.session.pending.labels.is_some();
        let has_pixels = !matches!(textures, Ok(Delivered::Shown(None, _)));
        let arrival = self.arrival.take_if(|(arrived, loaded)| {
            *arrived == key && Arc::ptr_eq(&loaded.frame, &frame) && has_labels && has_pixels
        });
        if let Some((_, loaded)) = arrival {
            self.session.absorb(Report::Frame {
                key,
                result: Ok(loaded),
            });
            // Labels that were read again may differ from those on the card; version 0 has them sent once more.
            let is_same = match (&self.session.shown, &label) {
                (Some(shown), Some(label)) => Arc::ptr_eq(&shown.sheet, label),
                (Some(shown), None) => shown.history.edits.is_empty(),
                (None, _) => false,
            };
            sheet_version = if is_same {
                self.session.sheet_version
            } else {
                0
            };
        }
        let is_shown = self.session.shown.as_ref().is_some_and(|s| s.key == key);
        let Some(graphics) = &mut self.graphics else {
            return;
        };
        match textures {
            Ok(Delivered::Shown(counts, classes)) if is_shown => {
                graphics.gpu.show(counts, *classes);
                if let Some(context) = graphics.uploader.context.get() {
                    // The finer levels follow when nothing else has come.
                    context.request_repaint_after(STAYS * 2);
                }
                self.uploaded = Uploaded {
                    at: Instant::now(),
                    key: Some(key),
                    frame: Some(frame),
                    is_bad_shown,
                    sheet_version,
                    prediction: net,
                };
            }
            Ok(Delivered::Finer) => {}
            Ok(Delivered::Shown(counts, classes)) => {
                *graphics.gpu.spare() = Spare {
                    counts,
                    classes: Some(*classes),
                };
            }
            Err(reason) => {
                graphics.gpu.clear();
                self.uploaded = Uploaded {
                    at: Instant::now(),
                    key: Some(key),
                    frame: Some(frame),
                    is_bad_shown,
                    sheet_version: self.session.sheet_version,
                    prediction: self.session.shown_prediction().cloned(),
                };
                self.session.notice(reason);
            }
        }
    }

    /// Uploads the rectangle that a stroke, a fill or an undo has changed.
    fn mark_changes(&mut self) {
        let version = self.session.sheet_version;
        let (Some(shown), Some(rect)) = (
            &self.session.shown,
            self.changed_since(self.uploaded.sheet_version),
        ) else {
            return;
        };
        if self.uploaded.key != Some(shown.key)
            || version == self.uploaded.sheet_version
            || rect.area() > LARGE_CHANGE
        {
            return;
        }
        let prediction = self.uploaded.prediction.as_ref();
        let net = prediction.map(|predicted| predicted.classes.as_ref());
        if let Some(graphics) = &mut self.graphics {
            graphics.gpu.set_marks(rect, Some(&shown.sheet), net);
        }
        self.uploaded.sheet_version = version;
    }

    /// The rectangle that changed since a version; `None` when that is no longer known.
    fn changed_since(&self, version: u64) -> Option<PixelRect> {
        let changes = &self.session.sheet_changes;
        let first = changes.first()?;
        if first.version > version + 1 {
            return None;
        }
        let newer = changes.iter().filter(|change| change.version > version);
        Some(newer.fold(PixelRect::new(0, 0, 0, 0), |all, change| {
            all.union(&change.rect)
        }))
    }
}
