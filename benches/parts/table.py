#!/usr/bin/env python3
"""Trains every net of this folder by the same small budget and prints one row each, as Markdown.

  [PEAKNET_DATA=FOLDER] benches/parts/table.py --work FOLDER [--peaknet PROGRAM] [--steps 400] [--seed 1] [NAME.toml ...]
  benches/parts/table.py --work FOLDER --net DIR     only the last scores, of a net as it is

All rows start from random weights and see the same simulated patches. Peak and pixel F1 are those of the held-out simulated
frames that `peaknet train` reports; with PEAKNET_DATA also the recall of reflections that CrystFEL integrated with I/sigma over 5,
and the share of found peaks near a predicted one. At last each net is shown the same simulated frames as they are, with
one hot pixel, with another gain and offset, and binned 2 x 2. Needs h5py and numpy.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

import h5py
import numpy as np

HERE = pathlib.Path(__file__).parent
parser = argparse.ArgumentParser()
parser.add_argument("configs", nargs="*", type=pathlib.Path)
parser.add_argument("--peaknet", default="peaknet")
parser.add_argument("--work", type=pathlib.Path, required=True)
parser.add_argument("--steps", type=int, default=400)
parser.add_argument("--seed", default="1")
parser.add_argument("--net", type=pathlib.Path, nargs="*", default=[])
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


def bin_two(path):
    """Sums 2 x 2 pixels of a simulated run; a pixel with an invalid part is invalid, peak wins over artifact, ignore over background."""
    four = lambda a: np.stack([a[:, i : a.shape[1] // 2 * 2 : 2, j : a.shape[2] // 2 * 2 : 2] for i in (0, 1) for j in (0, 1)])
    with h5py.File(path, "r+") as file:
        fresh = {"entry_1/instrument_1/detector_1/data": four(file["entry_1/instrument_1/detector_1/data"][()]).sum(0)}
        mask = four(file["entry_1/data_1/mask"][()])
        fresh["entry_1/data_1/mask"] = np.bitwise_or.reduce(mask)
        fresh["valid"] = four(file["valid"][()]).min(0)
        labels = four(file["labels"][()])
        merged = np.zeros(labels.shape[1:], np.uint8)
        for code in (255, 2, 1):
            merged[(labels == code).any(0)] = code
        fresh["labels"] = merged
        for name, values in fresh.items():
            del file[name]
            file.create_dataset(name, data=values, chunks=(1, *values.shape[1:]), compression="gzip", shuffle=True)
        for axis in "XY":
            places = file[f"entry_1/result_1/peak{axis}PosRaw"]
            places[...] = (places[()] + 0.5) / 2 - 0.5
        detector = file["entry_1/instrument_1/detector_1"]
        for axis in "xy":
            detector[f"{axis}_pixel_size"][...] = 2 * detector[f"{axis}_pixel_size"][()]
            detector[f"beam_center_{axis}"][...] = (detector[f"beam_center_{axis}"][()] + 0.5) / 2 - 0.5


def variants():
    """Simulated frames of two detectors, and the same with a hot pixel, and with another gain and offset."""
    paths = []
    for detector in ["eiger4m", "rayonix"]:
        plain = work / f"{detector}.cxi"
        if not plain.exists():
            run("simulate", "--out", plain, "--frames", 2, "--detector", detector, "--artifacts", "none", "--hit-rate", 1, "--seed", 4711)
        paths.append((f"{detector}", plain))
        for name in ["hot pixel", "gain 7.3, offset 250", "binned 2 x 2"]:
            path = work / f"{detector}-{name.split()[0]}.cxi"
            if not path.exists():
                shutil.copy(plain, path)
                if name.startswith("binned"):
                    bin_two(path)
                    paths.append((f"{detector}, {name}", path))
                    continue
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


def robust(net):
    return [f3(json.loads(run("score", "--net", net, "--set", path))["peaks"]["f1"]) for _, path in shown]


shown = variants()
if arguments.net:
    print(f"| net | {' | '.join(name for name, _ in shown)} |")
    print("|---" * (1 + len(shown)) + "|")
    for net in arguments.net:
        print(f"| {net.name} | {' | '.join(robust(net))} |")
    sys.exit()
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
    cells += robust(net)
    print(f"| {' | '.join(cells)} |", flush=True)
