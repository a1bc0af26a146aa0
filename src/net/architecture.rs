//! What a net is made of: the channels of its levels and the parts chosen, and what follows from them without a weight.

use super::layer::Layer;
use super::{backbone, head, neck};

/// From the input to one map per level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backbone {
    /// Residual double convolutions with 2x2 max-pool between them: the paper's.
    Residual,
}

/// From the maps of the levels to the finest one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Neck {
    /// Attention-gated skip maps joined with the doubled coarser map: the paper's.
    Gated,
}

/// The parts of a net and their sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Channels of the levels, finest first; each level has half the height and width of the one before. 2 to 8 levels.
    pub channels: Vec<usize>,
    pub backbone: Backbone,
    pub neck: Neck,
}

impl Default for Architecture {
    /// The paper's net: five levels, 543,527 parameters.
    fn default() -> Self {
        Self::plain(&[8, 16, 32, 64, 128])
    }
}

impl Architecture {
    /// The paper's parts with other channels.
    pub fn plain(channels: &[usize]) -> Self {
        Self {
            channels: channels.to_vec(),
            backbone: Backbone::Residual,
            neck: Neck::Gated,
        }
    }

    /// Says what cannot be built, in half a sentence.
    pub fn check(&self) -> Result<(), String> {
        if !(2..=8).contains(&self.channels.len())
            || !self.channels.iter().all(|c| (1..=4096).contains(c))
        {
            return Err("channels needs 2 to 8 numbers from 1 to 4096".to_owned());
        }
        Ok(())
    }

    pub const fn levels(&self) -> usize {
        self.channels.len()
    }

    /// Height and width of an input must be multiples of this.
    pub const fn step(&self) -> usize {
        1 << self.channels.len().saturating_sub(1)
    }

    /// Every convolution and weight of the net, in the order in which they are declared.
    pub fn layers(&self) -> Vec<Layer> {
        let mut layers = backbone::layers(self);
        layers.extend(neck::layers(self));
        layers.extend(head::layers(self));
        layers
    }

    /// How many numbers the training can change.
    pub fn parameters(&self) -> usize {
        self.layers().iter().map(Layer::parameters).sum()
    }

    /// Multiplications with a following addition in all convolutions for one frame, padded to [`Self::step`].
    ///
    /// Norms are counted as folded; additions, pooling, activations and upsampling are not counted.
    pub fn multiply_adds(&self, height: usize, width: usize) -> u64 {
        let step = self.step();
        let (height, width) = (
            height.next_multiple_of(step) as u64,
            width.next_multiple_of(step) as u64,
        );
        let cost = |layer: &Layer| {
            let outputs = layer
                .level
                .map_or(1, |level| (height >> level) * (width >> level));
            outputs * layer.multiply_adds()
        };
        self.layers().iter().map(cost).sum()
    }

    /// How far a pixel's class may look, in pixels.
    ///
    /// Every 3x3 convolution looks one pixel of its own level further; halving and doubling lose at most one pixel of
    /// each level on the way.
    pub fn reach(&self) -> usize {
        let convolutions: usize = self.layers().iter().map(Layer::reach).sum();
        convolutions + (1 << self.levels()) - 1
    }

    /// Tensors that a net of this architecture takes over from one of another, and those that start fresh.
    pub fn shared_with(&self, parent: &Self) -> (usize, usize) {
        let theirs: Vec<(String, Vec<usize>)> =
            parent.layers().iter().flat_map(Layer::tensors).collect();
        let ours: Vec<(String, Vec<usize>)> =
            self.layers().iter().flat_map(Layer::tensors).collect();
        let taken = ours.iter().filter(|tensor| theirs.contains(tensor)).count();
        (taken, ours.len() - taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: per output pixel and level 9 ab + 9 bb + ab for a block from a to b channels, 4 aa + ab + a for a gate
    /// (at the coarse map's pixels), ab for the doubling convolution, 24 for the head.
    #[test]
    fn the_papers_net_costs_what_a_hand_count_says() {
        let net = Architecture::default();
        assert_eq!(net.parameters(), 543_527);
        let block = |a: u64, b: u64| 10 * a * b + 9 * b * b;
        let pixels = |level: u32| (1920_u64 * 1920) >> (2 * level);
        let mut count = pixels(0) * (block(1, 8) + 24);
        for (level, (a, b)) in [(8, 16), (16, 32), (32, 64), (64, 128)]
            .into_iter()
            .enumerate()
        {
            let fine = level as u32;
            count += pixels(fine + 1) * (block(a, b) + 4 * a * a + a * b + a);
            count += pixels(fine) * (a * b + block(2 * a, a));
        }
        assert_eq!(net.multiply_adds(1920, 1920), count);
        assert_eq!(net.multiply_adds(1905, 1920), count);
        assert_eq!(count / 1_000_000_000, 46);
        assert_eq!(net.reach().next_multiple_of(64), 128);
    }

    #[test]
    fn a_sixth_level_keeps_what_the_five_have() {
        let (five, six) = (
            Architecture::default(),
            Architecture::plain(&[8, 16, 32, 64, 128, 128]),
        );
        assert_eq!(six.step(), 32);
        let (taken, fresh) = six.shared_with(&five);
        let all: usize = five.layers().iter().map(|l| l.tensors().len()).sum();
        assert_eq!(taken, all);
        // A block of the backbone; in the neck a block, a gate and a doubling convolution.
        assert_eq!(fresh, 3 * 6 + 3 * 6 + 3 * 6 + 2);
    }
}
