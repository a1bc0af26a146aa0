//! The net against PyTorch on the same weights: `fixtures/net/make_golden.py` wrote the numbers.

#![expect(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use peaknet_studio::net::graph::{Graph, Parameters};
use peaknet_studio::net::{Architecture, declare, fill, forward};

const CHANNELS: [usize; 5] = [4, 6, 8, 12, 16];

fn golden(dtype: DType) -> (Parameters, HashMap<String, Tensor>) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/net/golden.safetensors"
    );
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let mut parameters = declare(&Architecture::plain(&CHANNELS), 0, dtype, &Device::Cpu).unwrap();
    fill(&mut parameters, &tensors, &Device::Cpu).unwrap();
    (parameters, tensors)
}

/// Largest difference from PyTorch's logits.
fn difference(graph: &Graph, tensors: &HashMap<String, Tensor>, name: &str, dtype: DType) -> f64 {
    let input = tensors["golden.input"].to_dtype(dtype).unwrap();
    let logits = forward(graph, &input, &Architecture::plain(&CHANNELS))
        .unwrap()
        .logits;
    let expected = tensors[name].to_dtype(dtype).unwrap();
    let difference = (logits - expected).unwrap().abs().unwrap();
    let most = difference.max_all().unwrap().to_dtype(DType::F64).unwrap();
    most.to_scalar().unwrap()
}

#[test]
fn logits_are_those_of_pytorch() {
    for dtype in [DType::F32, DType::F64] {
        let (parameters, tensors) = golden(dtype);
        let cases = [
            (
                "folded, fused",
                Graph::folded(&parameters).unwrap(),
                "golden.evaluated",
            ),
            (
                "folded, composed",
                Graph::folded(&parameters).unwrap().composed(),
                "golden.evaluated",
            ),
            (
                "training, fused",
                Graph::training(&parameters),
                "golden.trained",
            ),
            (
                "training, composed",
                Graph::training(&parameters).composed(),
                "golden.trained",
            ),
        ];
        for (case, graph, name) in cases {
            let off = difference(&graph, &tensors, name, dtype);
            assert!(off < 1e-4, "{case} {dtype:?}: {off} from PyTorch");
        }
    }
}

/// The fused operations and candle's own give every parameter the same gradient, and norms the same moments.
#[test]
fn fused_gradients_are_those_of_the_composed_net() {
    let (parameters, tensors) = golden(DType::F64);
    let input = tensors["golden.input"].to_dtype(DType::F64).unwrap();
    let run = |graph: Graph| {
        let logits = forward(&graph, &input, &Architecture::plain(&CHANNELS))
            .unwrap()
            .logits;
        let loss = logits.sqr().unwrap().tanh().unwrap().sum_all().unwrap();
        let mut running = parameters.running.clone();
        graph.update_running(&mut running, 0.1);
        (loss.backward().unwrap(), running)
    };
    let (fused, moments) = run(Graph::training(&parameters));
    let (composed, expected) = run(Graph::training(&parameters).composed());
    for (name, var) in &parameters.vars {
        let (a, b) = (fused.get(var).unwrap(), composed.get(var).unwrap());
        let off = (a - b).unwrap().abs().unwrap().max_all().unwrap();
        assert!(off.to_scalar::<f64>().unwrap() < 1e-8, "{name}: {off}");
    }
    for (name, expected) in &expected {
        let pairs = expected.mean.iter().zip(&moments[name].mean);
        let more = expected.variance.iter().zip(&moments[name].variance);
        for (a, b) in pairs.chain(more) {
            assert!((a - b).abs() < 1e-9, "{name}: {a} and {b}");
        }
    }
}

/// Sizes that do not divide into tiles or vectors, one or several images: all the same as candle's own operations.
#[test]
fn odd_sizes_and_batches_agree_with_candle() {
    let net = Architecture::plain(&[8, 12, 9]);
    let parameters = declare(&net, 5, DType::F32, &Device::Cpu).unwrap();
    for (batch, height, width) in [(1, 4, 4), (2, 36, 52), (1, 8, 2700), (3, 132, 4)] {
        let count = batch * height * width;
        let cells: Vec<f32> = (0..count)
            .map(|i| ((i * 7919 % 1013) as f32 / 500.0) - 1.0)
            .collect();
        let input = Tensor::from_vec(cells, (batch, 1, height, width), &Device::Cpu).unwrap();
        let run = |graph: Graph| forward(&graph, &input, &net).unwrap().logits;
        for (fused, composed) in [
            (
                run(Graph::folded(&parameters).unwrap()),
                run(Graph::folded(&parameters).unwrap().composed()),
            ),
            (
                run(Graph::training(&parameters)),
                run(Graph::training(&parameters).composed()),
            ),
        ] {
            let off = (fused - composed)
                .unwrap()
                .abs()
                .unwrap()
                .max_all()
                .unwrap();
            let off = off.to_scalar::<f32>().unwrap();
            assert!(off < 1e-3, "{batch} x {height} x {width}: {off}");
        }
    }
}
