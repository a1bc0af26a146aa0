//! Half precision, which prediction on CUDA cards uses, decides as f32 does; here by the same operations on the CPU.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use peaknet_studio::domain::simulate::{Recipe, simulate};
use peaknet_studio::net::graph::Graph;
use peaknet_studio::net::loss::focal;
use peaknet_studio::net::prepare::prepare;
use peaknet_studio::net::{Architecture, Card, declare, forward, load_parameters};

#[test]
fn half_precision_finds_the_same_classes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/peaknet");
    let card = Card::load(&folder).unwrap();
    let parameters = load_parameters(&folder, &card, &Device::Cpu).unwrap();
    let mut recipe = Recipe::named("eiger4m").unwrap();
    recipe.detector = recipe.detector.window(900, 900, 320, 320);
    let input = prepare(&simulate(&recipe, 3, 0).frame);
    let input = Tensor::from_slice(input.cells(), (1, 1, 320, 320), &Device::Cpu).unwrap();
    let classes = |dtype| {
        let graph = Graph::folded(&parameters).unwrap().to_dtype(dtype).unwrap();
        let logits = forward(&graph, &input, &card.architecture().unwrap())
            .unwrap()
            .logits;
        assert_eq!(logits.dtype(), DType::F32);
        let classes = logits.argmax(1).unwrap().flatten_all().unwrap();
        classes.to_vec1::<u32>().unwrap()
    };
    let expected = classes(DType::F32);
    let found = classes(DType::F16);
    let marked = expected.iter().filter(|class| **class > 0).count();
    assert!(marked > 100, "only {marked} pixels are marked at all");
    let same = expected.iter().zip(&found).filter(|(a, b)| a == b).count();
    let share = same as f64 / expected.len() as f64;
    assert!(share > 0.999, "only {share} of the pixels agree");
}

/// Mixed precision: the gradient of a training step in half precision points where that in f32 does.
///
/// On the CPU in f16 (candle multiplies no bf16 there), with the loss scaled so that its small exponents suffice.
#[test]
fn half_precision_trains_in_the_same_direction() {
    const SCALE: f64 = 512.0;
    // A fresh net, whose gradient is not the small rest of large terms that cancel.
    let net = Architecture::default();
    let parameters = declare(&net, 1, DType::F32, &Device::Cpu).unwrap();
    let mut recipe = Recipe::named("eiger4m").unwrap();
    recipe.detector = recipe.detector.window(900, 900, 96, 96);
    recipe.hit_rate = 1.0;
    let made = simulate(&recipe, 3, 0);
    let targets = Arc::new(made.sheet.cells().to_vec());
    let input = prepare(&made.frame);
    let input = Tensor::from_slice(input.cells(), (1, 1, 96, 96), &Device::Cpu).unwrap();
    let gradient = |dtype| {
        let graph = Graph::training(&parameters).to_dtype(dtype).unwrap();
        let logits = forward(&graph, &input, &net).unwrap().logits;
        let loss = (focal(&logits, targets.clone(), [1.0; 3]).unwrap() * SCALE).unwrap();
        let gradients = loss.backward().unwrap();
        let mut all = Vec::new();
        for (name, var) in &parameters.vars {
            let gradient = gradients.get(var.as_tensor()).unwrap();
            assert_eq!(gradient.dtype(), DType::F32);
            assert!(
                gradient
                    .sum_all()
                    .unwrap()
                    .to_scalar::<f32>()
                    .unwrap()
                    .is_finite(),
                "{name}"
            );
            all.extend(gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        }
        all
    };
    let (single, half) = (gradient(DType::F32), gradient(DType::F16));
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    let cosine = dot(&single, &half) / (dot(&single, &single) * dot(&half, &half)).sqrt();
    assert!(
        cosine > 0.99,
        "the cosine between the gradients is {cosine}"
    );
}
