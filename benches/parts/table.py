#!/usr/bin/env python3
"""Trains every net of this folder by the same small budget and prints one row each, as Markdown.

  [PEAKNET_DATA=FOLDER] benches/parts/table.py --work FOLDER [--peaknet PROGRAM] [--steps 400] [--seed 1] [NAME.toml ...]

All rows start from random weights and see the same simulated patches. Peak and pixel F1 are those of the held-out simulated
frames that `peaknet train` reports; with PEAKNET_DATA also the recall of reflections that CrystFEL integrated with I/sigma over 5,
and the share of found peaks near a predicted one. At last each net is shown the same simulated frames as they are, with
one hot pixel, and with another gain and offset. Needs h5py.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

import h5py

HERE = pathlib.Path(__file__).parent
parser = argparse.ArgumentParser()
parser.add_argument("configs", nargs="*", type=pathlib.Path)
parser.add_argument("--peaknet", default="peaknet")
parser.add_argument("--work", type=pathlib.Path, required=True)
parser.add_argument("--steps", type=int, default=400)
parser.add_argument("--seed", default="1")
arguments = parser.parse_args()
work = arguments.work
work.mkdir(parents=True, exist_ok=True)


def run(*words):
    words = [arguments.peaknet, *map(str, words)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode == 2:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def f3(value):
    return "-" if value is None else f"{value:.3f}"


def near_truth(net):
    folder = os.environ.get("PEAKNET_DATA")
    if not folder:
        return ["-", "-"]
    hdf5, cells = pathlib.Path(folder, "hdf5"), []
    for run_name, stream in [("thaumatin_vds.h5", "thaumatin"), ("cspad_thermolysin_2.cxi", "cspad_thermolysin_2")]:
        out = work / "found.cxi"
        run("predict", hdf5 / run_name, "--net", net, "--out", out, "--force", "--json")
        told = json.loads(run("score", "--peaks", out, "--against", hdf5 / f"{stream}.stream", "--i-over-sigma", 5, "--within", 3))
        told = told["reflections"]
        cells.append(f"{f3(told.get('recall'))}, {f3(told.get('share'))}")
    return cells


def variants():
    """Simulated frames of two detectors, and the same with a hot pixel, and with another gain and offset."""
    paths = []
    for detector in ["eiger4m", "rayonix"]:
        plain = work / f"{detector}.cxi"
        if not plain.exists():
            run("simulate", "--out", plain, "--frames", 2, "--detector", detector, "--artifacts", "none", "--hit-rate", 1, "--seed", 4711)
        paths.append((f"{detector}", plain))
        for name in ["hot pixel", "gain 7.3, offset 250"]:
            path = work / f"{detector}-{name.split()[0]}.cxi"
            if not path.exists():
                shutil.copy(plain, path)
                with h5py.File(path, "r+") as file:
                    data = file["entry_1/instrument_1/detector_1/data"]
                    for i in range(data.shape[0]):
                        frame = data[i]
                        if name == "hot pixel":
                            frame[700, 700] = 1e6
                        else:
                            frame = frame * 7.3 + 250
                        data[i] = frame
            paths.append((f"{detector}, {name}", path))
    return paths


shown = variants()
print(f"| net | parameters | GMAC | ms | peak F1 | peak pixel F1 | artifact IoU | thaumatin recall, share | CSPAD recall, share | {' | '.join(name for name, _ in shown)} |")
print("|---" * (9 + len(shown)) + "|", flush=True)
for config in arguments.configs or sorted(HERE.glob("*.toml")):
    net = work / config.stem
    text = "patch = 256\nbatch = 2\nwarm_up = 30\naverage = 0.98\nlearning_rate = 2e-3\nsteps_per_epoch = %d\n" % (arguments.steps // 2)
    merged = work / f"{config.stem}.toml"
    merged.write_text(text + config.read_text())
    lines = run("train", "--simulate", "--epochs", 2, "--seed", arguments.seed, "--config", merged, "--out", net, "--force")
    summary = json.loads(lines.strip().splitlines()[-1])["summary"]["held_out"]["scores"]
    bench = json.loads(run("bench", "--net", net, "--quick", "--repeat", 3))
    cells = [config.stem, f"{bench['parameters']:,}", f"{bench['gmac']:.1f}", f"{bench['net_ms']:.0f}"]
    cells += [f3(summary["peaks"]["f1"]), f3(summary["classes"]["peak"]["f1"]), f3(summary["classes"]["artifact"]["iou"])]
    cells += near_truth(net)
    for _, path in shown:
        cells.append(f3(json.loads(run("score", "--net", net, "--set", path))["peaks"]["f1"]))
    print(f"| {' | '.join(cells)} |", flush=True)
