//! The parts beside the paper's: against PyTorch on the same weights (`fixtures/net/make_golden_parts.py` wrote the numbers),
//! against candle's own operations, against finite differences, and through the card on disk.

#![expect(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use peaknet_studio::domain::frame::Frame;
use peaknet_studio::domain::grid::Grid;
use peaknet_studio::fs::write_whole;
use peaknet_studio::net::architecture::{Backbone, HitHead, Neck, RegNet};
use peaknet_studio::net::graph::{Graph, Parameters};
use peaknet_studio::net::objective::{LossConfig, loss_of};
use peaknet_studio::net::predict::Asked;
use peaknet_studio::net::{
    Architecture, Card, DeviceChoice, Net, Output, declare, fill, forward, save, tensors_of,
};

/// Every new part, in two nets.
fn nets() -> [(&'static str, Architecture); 2] {
    let regnet = RegNet {
        group_width: 8,
        depths: vec![1, 2, 1],
        squeeze: true,
    };
    let all = Architecture {
        channels: vec![8, 16, 16],
        backbone: Backbone::RegNet(regnet),
        neck: Neck::BiFpn {
            channels: 6,
            repeats: 2,
        },
        hit_head: Some(HitHead::default()),
    };
    let fpn = Architecture {
        neck: Neck::Fpn { channels: 5 },
        ..Architecture::plain(&[4, 6, 8])
    };
    [("regnet_bifpn_hit", all), ("residual_fpn", fpn)]
}

fn golden(name: &str, net: &Architecture, dtype: DType) -> (Parameters, HashMap<String, Tensor>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/net");
    let path = format!("{folder}/parts_{name}.safetensors");
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let mut parameters = declare(net, 0, dtype, &Device::Cpu).unwrap();
    fill(&mut parameters, &tensors, &Device::Cpu).unwrap();
    (parameters, tensors)
}

fn largest(a: &Tensor, b: &Tensor) -> f64 {
    let b = b.to_dtype(a.dtype()).unwrap();
    let off = (a - b).unwrap().abs().unwrap().max_all().unwrap();
    off.to_dtype(DType::F64).unwrap().to_scalar().unwrap()
}

#[test]
fn every_part_gives_what_pytorch_gives() {
    for (name, net) in nets() {
        for dtype in [DType::F32, DType::F64] {
            let (parameters, tensors) = golden(name, &net, dtype);
            let input = tensors["golden.input"].to_dtype(dtype).unwrap();
            let folded = || Graph::folded(&parameters).unwrap();
            let cases = [
                ("folded, fused", folded(), "golden.evaluated"),
                ("folded, composed", folded().composed(), "golden.evaluated"),
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
            for (case, graph, expected) in cases {
                let Output { logits, hit } = forward(&graph, &input, &net).unwrap();
                let off = largest(&logits, &tensors[expected]);
                assert!(off < 2e-4, "{name} {case} {dtype:?}: {off} from PyTorch");
                assert_eq!(hit.is_some(), net.hit_head.is_some());
                if let Some(hit) = hit {
                    let off = largest(&hit.logit, &tensors[&format!("{expected}_hit")]);
                    assert!(
                        off < 2e-4,
                        "{name} {case} {dtype:?}: hit {off} from PyTorch"
                    );
                }
                let detached = !case.starts_with("folded") || !logits.track_op();
                assert!(detached, "{case} keeps a gradient graph");
            }
        }
    }
}

/// The gradient of the whole loss for every parameter, against central differences in f64.
#[test]
fn gradients_are_those_of_finite_differences() {
    for (name, net) in nets() {
        let (parameters, tensors) = golden(name, &net, DType::F64);
        let input = tensors["golden.input"].to_dtype(DType::F64).unwrap();
        let targets: Vec<u8> = (0..input.elem_count())
            // The first patch shows many peaks, the second none.
            .map(|i| match (i * 7919 % 13, i < input.elem_count() / 2) {
                (0, true) => 1,
                (1, _) => 2,
                (2, _) => 255,
                _ => 0,
            })
            .collect();
        let targets = Arc::new(targets);
        let config = LossConfig {
            alpha: [0.7, 1.3, 1.1],
            hit: Some(HitHead {
                min_peaks: 3,
                weight: 0.5,
            }),
        };
        let loss = |composed: bool| {
            let graph = Graph::training(&parameters);
            let graph = if composed { graph.composed() } else { graph };
            let output = forward(&graph, &input, &net).unwrap();
            loss_of(&output, targets.clone(), &config).unwrap()
        };
        let grads = loss(false).backward().unwrap();
        let composed = loss(true).backward().unwrap();
        let step = 1e-6;
        for (tensor, var) in &parameters.vars {
            let shape = var.shape().clone();
            let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let start = flat(var);
            let of = |grads: &candle_core::backprop::GradStore| {
                let grad = grads.get(var.as_tensor());
                flat(grad.unwrap_or_else(|| panic!("{name}: no gradient of {tensor}")))
            };
            let (grad, other) = (of(&grads), of(&composed));
            for i in (0..start.len()).step_by((start.len() / 4).max(1)) {
                let shifted = |by: f64| {
                    let mut values = start.clone();
                    values[i] += by;
                    var.set(&Tensor::from_vec(values, shape.clone(), &Device::Cpu).unwrap())
                        .unwrap();
                    loss(false).to_scalar::<f64>().unwrap()
                };
                let numeric = (shifted(step) - shifted(-step)) / (2.0 * step);
                shifted(0.0);
                for (how, grad) in [("fused", grad[i]), ("composed", other[i])] {
                    assert!(
                        (numeric - grad).abs() < 1e-6 + 1e-4 * numeric.abs(),
                        "{name} {how} {tensor}[{i}]: {grad} by us, {numeric} by differences"
                    );
                }
            }
        }
    }
}

/// Sizes beyond one tile, batches, and a group width that is no multiple of a vector: as candle's own operations.
#[test]
fn large_and_odd_sizes_agree_with_candle() {
    let [(_, mut all), (_, fpn)] = nets();
    all.channels = vec![3, 6, 12];
    if let Backbone::RegNet(of) = &mut all.backbone {
        of.group_width = 3;
    }
    for net in [all, fpn] {
        net.check().unwrap();
        let parameters = declare(&net, 5, DType::F32, &Device::Cpu).unwrap();
        for (batch, height, width) in [(1, 4, 4), (2, 36, 52), (1, 8, 700), (1, 300, 12)] {
            let cells: Vec<f32> = (0..batch * height * width)
                .map(|i| ((i * 7919 % 1013) as f32 / 500.0) - 1.0)
                .collect();
            let input = Tensor::from_vec(cells, (batch, 1, height, width), &Device::Cpu).unwrap();
            let run = |graph: Graph| forward(&graph, &input, &net).unwrap().logits;
            let folded = || Graph::folded(&parameters).unwrap();
            let training = || Graph::training(&parameters);
            let off = largest(&run(folded()), &run(folded().composed()));
            assert!(off < 1e-3, "folded {batch} x {height} x {width}: {off}");
            let off = largest(&run(training()), &run(training().composed()));
            assert!(off < 1e-3, "training {batch} x {height} x {width}: {off}");
        }
    }
}

/// Saved, loaded and run again: the same prediction; the hit head speaks where there is one, in one tile or several.
#[test]
fn nets_of_every_part_come_back_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let pixels = |width, height| {
        let value = |x: usize, y: usize| ((x * 31 + y * 17 + x * y) % 97) as f32;
        Frame::new(
            0,
            Grid::from_fn(width, height, value),
            Grid::filled(width, height, 0),
        )
        .unwrap()
    };
    let plain = Architecture::plain(&[3, 4, 5, 6, 6, 6]);
    for (name, net) in nets().into_iter().chain([("plain", plain)]) {
        let parameters = declare(&net, 4, DType::F32, &Device::Cpu).unwrap();
        let path = folder.path().join(name);
        let tensors = tensors_of(&parameters).unwrap();
        let names: Vec<String> = net
            .layers()
            .iter()
            .flat_map(|l| l.tensors())
            .map(|(name, shape)| {
                assert_eq!(tensors[&name].dims(), shape, "{name}");
                name
            })
            .collect();
        assert_eq!(names.len(), tensors.len());
        let trained: usize = parameters.vars.values().map(|v| v.elem_count()).sum();
        assert_eq!(net.parameters(), trained);
        let card = save(&tensors, &Card::of(&net), &path, false).unwrap();
        assert_eq!(Card::load(&path).unwrap(), card);
        let loaded = Net::load(&path, DeviceChoice::Cpu).unwrap();
        assert_eq!(loaded.architecture(), &net);
        let made = Net::from_parameters(&parameters, card, &Device::Cpu).unwrap();
        for frame in [pixels(40, 52), pixels(3000, 8)] {
            let found = loaded
                .predict(&[&frame], Asked::default())
                .unwrap()
                .remove(0);
            assert_eq!(
                found,
                made.predict(&[&frame], Asked::default()).unwrap().remove(0)
            );
            let is_probability = |p: f32| (0.0..=1.0).contains(&p);
            assert_eq!(
                found.hit_probability.is_some_and(is_probability),
                net.hit_head.is_some()
            );
        }
    }
}

/// Cards that name what this version does not know, or what does not fit together, are refused in one sentence.
#[test]
fn damaged_cards_are_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let [(_, net), _] = nets();
    let parameters = declare(&net, 4, DType::F32, &Device::Cpu).unwrap();
    let path = folder.path().join("net");
    save(
        &tensors_of(&parameters).unwrap(),
        &Card::of(&net),
        &path,
        false,
    )
    .unwrap();
    let text = std::fs::read_to_string(path.join("card.toml")).unwrap();
    for (from, to) in [
        ("\"regnet\"", "\"convnext\""),
        ("\"bifpn\"", "\"transformer\""),
        ("\"parts\"", "\"residual-attention-unet\""),
        ("\"parts\"", "\"other\""),
        ("[8, 16, 16]", "[8, 12, 16]"),
        ("[8, 16, 16]", "[8]"),
        ("repeats = 2", "repeats = 0"),
        ("min_peaks = 5", "min_peaks = 0"),
        ("min_peaks = 5", "min_peeks = 5"),
        ("repeats = 2", "repeats = 3"),
        ("squeeze = true", "squeeze = false"),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        let broken = text.replacen(from, to, 1);
        write_whole(&path.join("card.toml"), broken.as_bytes(), true).unwrap();
        let error = match Net::load(&path, DeviceChoice::Cpu) {
            // More weights than the net has are harmless.
            Ok(net) => {
                assert_eq!(to, "squeeze = false", "{}", net.name());
                continue;
            }
            Err(error) => error.to_string(),
        };
        assert!(!error.contains('\n') && error.contains("; "), "{error}");
    }
}
