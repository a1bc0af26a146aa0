//! Half precision, which prediction on CUDA cards uses, decides as f32 does; here by the same operations on the CPU.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use peaknet_studio::domain::simulate::{Recipe, simulate};
use peaknet_studio::net::graph::Graph;
use peaknet_studio::net::prepare::prepare;
use peaknet_studio::net::{Card, forward, load_parameters};

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
