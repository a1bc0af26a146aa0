//! The learning rate from step to step.

use super::config::{Schedule, TrainConfig};

/// What is left of the learning rate at the end.
const LEAST: f64 = 0.02;

/// The learning rate of a step. `progress` is the used share of the budget, `scale` what plateaus have left of the rate.
pub fn learning_rate(config: &TrainConfig, step: usize, progress: f64, scale: f64) -> f64 {
    let rising = ((step + 1) as f64 / config.warm_up.max(1) as f64).min(1.0);
    let falling = match config.schedule {
        Schedule::Cosine => {
            let angle = std::f64::consts::PI * progress.clamp(0.0, 1.0);
            LEAST + (1.0 - LEAST) * (1.0 + angle.cos()) / 2.0
        }
        Schedule::Plateau => {
            let anneal = config.anneal.max(1e-9);
            let fall = ((progress - (1.0 - anneal)) / anneal).clamp(0.0, 1.0);
            scale * (1.0 - (1.0 - LEAST) * fall)
        }
    };
    config.learning_rate * rising * falling
}

/// Lowers the learning rate when the validation loss no longer falls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plateau {
    pub best: f64,
    pub waited: usize,
    pub scale: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self {
            best: f64::INFINITY,
            waited: 0,
            scale: 1.0,
        }
    }
}

impl Plateau {
    /// Whether this loss is the best so far.
    pub fn look(&mut self, loss: f64, config: &TrainConfig) -> bool {
        if loss < self.best {
            self.best = loss;
            self.waited = 0;
            return true;
        }
        self.waited += 1;
        if config.schedule == Schedule::Plateau && self.waited > config.patience {
            self.waited = 0;
            self.scale *= config.plateau_factor;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_then_falls() {
        let config = TrainConfig {
            learning_rate: 1.0,
            warm_up: 10,
            ..TrainConfig::default()
        };
        let plateau = TrainConfig {
            schedule: Schedule::Plateau,
            ..config.clone()
        };
        for (config, step, progress, scale, expected) in [
            (&config, 0, 0.0, 1.0, 0.1),
            (&config, 9, 0.0, 1.0, 1.0),
            (&config, 500, 0.5, 1.0, 0.51),
            (&config, 1000, 1.0, 1.0, 0.02),
            (&plateau, 500, 0.5, 0.2, 0.2),
            (&plateau, 1000, 1.0, 1.0, 0.02),
        ] {
            let found = learning_rate(config, step, progress, scale);
            assert!((found - expected).abs() < 1e-9, "{step} {found} {expected}");
        }
        let mut seen = Plateau::default();
        for loss in [1.0, 0.5].into_iter().chain([0.6; 11]) {
            seen.look(loss, &plateau);
        }
        assert_eq!((seen.best, seen.scale), (0.5, 0.2));
    }
}
