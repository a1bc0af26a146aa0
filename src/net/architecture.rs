//! What a net is made of: the channels of its levels and the parts chosen, and what follows from them without a weight.

use super::layer::Layer;
use super::{backbone, head, neck};

/// From the input to one map per level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backbone {
    /// Residual double convolutions with 2x2 max-pool between them: the paper's.
    Residual,
    /// Stages of bottleneck blocks with group convolutions.
    RegNet(RegNet),
}

/// The parameters of a RegNet beside its channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegNet {
    /// Channels of a group, or all of a level that has fewer; every level's channels must be a multiple.
    pub group_width: usize,
    /// Blocks per level, finest first; levels beyond the list have its last number.
    pub depths: Vec<usize>,
    /// Squeeze and excitation (RegNetY). It looks at the mean of the whole input, so that tiles of one frame differ.
    pub squeeze: bool,
}

impl Default for RegNet {
    fn default() -> Self {
        Self {
            group_width: 8,
            depths: vec![1, 1, 2, 4],
            squeeze: false,
        }
    }
}

impl RegNet {
    pub fn depth(&self, level: usize) -> usize {
        let depth = self.depths.get(level).or(self.depths.last());
        depth.copied().unwrap_or(1)
    }
}

/// From the maps of the levels to the finest one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Neck {
    /// Attention-gated skip maps joined with the doubled coarser map: the paper's.
    Gated,
    /// Lateral 1x1 convolutions to so many channels, added from coarse to fine.
    Fpn { channels: usize },
    /// Weighted fusion from coarse to fine and back, so many times.
    BiFpn { channels: usize, repeats: usize },
}

/// A second head that says whether the frame would index, and how it is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HitHead {
    /// A patch with so many separate labelled peaks shows a crystal; one with fewer, but some, teaches nothing.
    pub min_peaks: usize,
    /// Of its loss beside that of the pixels.
    pub weight: f64,
}

impl Default for HitHead {
    fn default() -> Self {
        Self {
            min_peaks: 5,
            weight: 0.01,
        }
    }
}

/// The parts of a net and their sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Channels of the levels, finest first; each level has half the height and width of the one before. 2 to 8 levels.
    pub channels: Vec<usize>,
    pub backbone: Backbone,
    pub neck: Neck,
    pub hit_head: Option<HitHead>,
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
            hit_head: None,
        }
    }

    /// Says what cannot be built, in half a sentence.
    pub fn check(&self) -> Result<(), String> {
        if !(2..=8).contains(&self.channels.len())
            || !self.channels.iter().all(|c| (1..=4096).contains(c))
        {
            return Err("channels needs 2 to 8 numbers from 1 to 4096".to_owned());
        }
        if let Backbone::RegNet(of) = &self.backbone {
            let fits = |c: &usize| of.group_width > 0 && c.is_multiple_of(of.group_width.min(*c));
            if !self.channels.iter().all(fits) {
                return Err("every number of channels must be a multiple of group_width".to_owned());
            }
            if of.depths.is_empty() || !of.depths.iter().all(|d| (1..=64).contains(d)) {
                return Err("depths needs a number from 1 to 64 per level".to_owned());
            }
        }
        if let Neck::Fpn { channels } | Neck::BiFpn { channels, .. } = self.neck
            && !(1..=4096).contains(&channels)
        {
            return Err("the neck needs 1 to 4096 channels".to_owned());
        }
        if let Neck::BiFpn { repeats, .. } = self.neck
            && !(1..=16).contains(&repeats)
        {
            return Err("the neck is repeated 1 to 16 times".to_owned());
        }
        match self.hit_head {
            Some(HitHead { min_peaks, weight })
                if min_peaks == 0 || !weight.is_finite() || weight < 0.0 =>
            {
                Err(
                    "the hit head needs min_peaks from 1 and a weight that is not negative"
                        .to_owned(),
                )
            }
            _ => Ok(()),
        }
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
