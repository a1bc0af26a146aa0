//! The thread that puts frames on the graphics card, so that the window never waits for an upload.
//!
//! A frame that has been read is held back until its pixels and classes are on the card; only then does the session hear of
//! it. What is drawn and what may be painted on are therefore always the same frame.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};

use super::gpu::{Card, Classes, Counts, Spare};
use crate::domain::frame::Frame;
use crate::domain::labels::Sheet;
use crate::session::job::{FrameKey, Predicted};

/// What shall be on the card.
pub struct Order {
    pub key: FrameKey,
    pub frame: Arc<Frame>,
    /// Pixels too, or classes alone.
    pub is_with_counts: bool,
    pub is_bad_shown: bool,
    pub label: Option<Arc<Sheet>>,
    pub net: Option<Arc<Predicted>>,
    /// The version of the sheet that `label` is.
    pub sheet_version: u64,
    pub spare: Spare,
}

/// What is there now.
pub struct Delivery {
    pub key: FrameKey,
    /// The frame that was ordered: the same number may have been read anew meanwhile.
    pub frame: Arc<Frame>,
    pub textures: Result<(Option<Counts>, Classes), String>,
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
    let counts = if order.is_with_counts {
        card.counts(&order.frame, order.is_bad_shown, spare)
            .map(Some)
    } else {
        Ok(None)
    };
    let textures = counts.and_then(|counts| {
        let net = order.net.as_ref().map(|net| net.classes.as_ref());
        let classes = card.classes(size, order.label.as_deref(), net, classes)?;
        Ok((counts, classes))
    });
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
