"""The net beside PyTorch and onnxruntime: same weights, same frame, same number of threads, taken in turns.

python3 benches/net_beside.py [--threads 1] [--rounds 2] [--kinds peaknet+last+onnx]   prediction
python3 benches/net_beside.py --training [--threads 1] [--rounds 2]                    training steps

Prediction: a simulated frame of 1920 x 1920. Ours is `net_ms` of `peaknet bench --quick`, from the frame to classes and
probabilities; theirs is the net alone, from input to logits, norms folded or not. First the logits of all are compared.
Training: 256 x 256 patches, batch 4, f32: forward, focal loss, backward, AdamW; samples a second.
Each program runs in a process of its own, again in every round; medians, and the peak memory of the process.
Needs torch; onnx and onnxruntime for that column.
"""
import argparse
import json
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NET = ROOT / "models" / "peaknet"
CHANNELS = tomllib.loads((NET / "card.toml").read_text())["channels"]
PREDICTORS = ["peaknet", "torch", "torch folded", "torch folded, channels last", "onnxruntime"]
TRAINERS = ["peaknet", "torch", "torch, channels last"]


def read(path):
    """Tensors of a safetensors file."""
    import torch

    raw = Path(path).read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    tensors = {}
    for name, told in json.loads(raw[8 : 8 + length]).items():
        if name != "__metadata__":
            first, last = told["data_offsets"]
            cells = bytearray(raw[8 + length + first : 8 + length + last])
            tensors[name] = torch.frombuffer(cells, dtype=torch.float32).reshape(told["shape"])
    return tensors


def net_of(folded):
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    sys.path.insert(0, str(ROOT / "tests" / "fixtures" / "net"))
    from make_golden import PeakNet

    net = PeakNet(CHANNELS)
    missing = net.load_state_dict(read(NET / "weights.safetensors"), strict=False)
    assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys), missing
    net.eval()
    for module in list(net.modules()) if folded else []:
        for name, norm in list(module.named_children()):
            if name.startswith("norm"):
                conv = name.replace("norm", "conv")
                setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), norm))
                setattr(module, name, torch.nn.Identity())
    return net


def timed(step, repeat):
    step()
    took = []
    for _ in range(repeat):
        start = time.perf_counter()
        step()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def predict(kind, threads, folder):
    """Milliseconds a frame; writes the logits when asked for the first time."""
    import torch

    x = read(folder / "ours.safetensors")["input"]
    if kind == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(folder / "net.onnx"), options, providers=["CPUExecutionProvider"])
        step = lambda: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
    else:
        torch.set_num_threads(threads)
        net = net_of("folded" in kind)
        if "last" in kind:
            net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
        step = lambda: net(x)
    with torch.inference_mode():
        off = (step() - read(folder / "ours.safetensors")["logits"]).abs().max().item()
        return timed(step, 2) * 1e3, off


def train(kind, threads):
    """Samples a second."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    net = net_of(False).train()
    x = torch.rand(4, 1, 256, 256) * 2 - 1
    target = (torch.rand(4, 256, 256) < 0.02).long()
    if "last" in kind:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)

    def step():
        optimizer.zero_grad()
        p = torch.softmax(net(x), 1).clamp(1e-8, 1 - 1e-8)
        p = p.gather(1, target[:, None])
        loss = (-1.2 * (1 - p) ** 2 * p.log()).mean()
        loss.backward()
        optimizer.step()
        loss.item()

    return 4 / timed(step, 6), 0.0


def export(folder):
    import torch

    x = torch.zeros(1, 1, 1920, 1920)
    torch.onnx.export(net_of(True), x, str(folder / "net.onnx"), dynamo=False, input_names=["x"], opset_version=17)


def ours(arguments, kind, threads, more):
    command = [arguments.peaknet, "bench", "--device", "cpu", "--threads", str(threads), *more]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return told["training_samples_per_s" if arguments.training else "net_ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--training", action="store_true")
    parser.add_argument("--kinds", default="", help="only those whose names contain one of these, separated by +")
    parser.add_argument("--peaknet", default=str(ROOT / "target" / "release" / "peaknet"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        threads, folder = arguments.threads[0], Path(arguments.folder)
        if arguments.one == "export":
            export(folder)
        elif arguments.one == "peaknet":
            more = ["--training", "6"] if arguments.training else ["--quick", "--repeat", "3"]
            value = ours(arguments, arguments.one, threads, more)
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print(json.dumps([value, 0.0, peak]))
        else:
            value, off = train(arguments.one, threads) if arguments.training else predict(arguments.one, threads, folder)
            print(json.dumps([value, off, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
        return
    kinds = TRAINERS if arguments.training else PREDICTORS
    kinds = [kind for kind in kinds if any(part in kind for part in arguments.kinds.split("+"))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        again = [sys.executable, __file__, "--peaknet", arguments.peaknet, "--folder", name]
        again += ["--training"] if arguments.training else []
        if not arguments.training:
            command = [arguments.peaknet, "bench", "--device", "cpu", "--quick", "--repeat", "1"]
            subprocess.run(command + ["--logits", str(folder / "ours.safetensors")], check=True, capture_output=True)
            try:
                import onnx  # noqa: F401
                import onnxruntime  # noqa: F401

                subprocess.run(again + ["--one", "export"], check=True, capture_output=True)
            except ImportError:
                kinds = [kind for kind in kinds if kind != "onnxruntime"]
        found = {}
        for _ in range(arguments.rounds):
            for threads in arguments.threads:
                for kind in kinds:
                    told = subprocess.run(again + ["--one", kind, "--threads", str(threads)], check=True, capture_output=True, text=True)
                    found.setdefault((kind, threads), []).append(json.loads(told.stdout.splitlines()[-1]))
    unit = "samples/s" if arguments.training else "ms a frame"
    print(f"{'':<30} threads {unit:>12}   each round             largest difference   peak MiB")
    for threads in arguments.threads:
        for kind in kinds:
            values, off, peak = zip(*found[kind, threads])
            each = " ".join(f"{value:.4g}" for value in values)
            print(f"{kind:<30} {threads:>7} {statistics.median(values):>12.4g}   {each:<22} {max(off):>18.1e} {max(peak):>10.0f}")


if __name__ == "__main__":
    main()
