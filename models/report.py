#!/usr/bin/env python3
"""The report about a net, as Markdown on stdout: simulated held-out frames, real frames, false peaks, rings.

  PEAKNET_DATA=FOLDER models/report.py --net models/peaknet --cache FOLDER [--peaknet PROGRAM] [--json FILE] [--against FILE]

Simulated frames and what the classical finders make of them are kept in the cache; --json writes all figures, --against prints
those of another report in parentheses. Without PEAKNET_DATA the real frames are left out. Needs h5py and numpy.
"""

import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

import h5py
import numpy as np

DETECTORS = ["rayonix", "eiger4m", "jungfrau", "cspad", "pilatus300k", "pilatus1m", "pilatus2m", "ccd"]
CLASSICAL = ["peakfinder8", "robust"]

# Of each file: the frames looked at (the huge ones are bounded), options, and the rings that an eye sees: centre and radii, pixels, centre
# of the first pixel = 0. Those of the first two files are from the README of the real frames; the others by maximising the variance of
# the radial profile (1-px bins, logarithm of the counts over their neighbourhood, numpy), which puts them within 2 px.
RINGS = [
    ("silver_behenate/AgBh700_96.9_calib.tif", (588.25, 318.75), [107.5, 216.5, 325.5, 435.5]),
    ("silver_behenate/agbe_60sec_006.mar1200", (599.5, 690.3), [187.5]),
    ("silver_behenate/FLICAM_AgBeh_001_c.tif", (524.0, 998.4), [456]),
    ("cspad/sibeh_topright.npz", (851.1, 35.2), [401, 707]),
    ("cspad/sibeh_bottomleft.npz", (-31.0, 859.6), [401, 708]),
    ("rings/CeO2_Pilatus1M.tif", (489.5, 529.3), [159, 185, 262, 310, 324, 378, 414, 426, 471, 503]),
    ("rings/ceria_ff1.h5", (49.2, 1975.4), [1163, 1343, 1906, 2237, 2341, 2707, 2957, 3335]),
    ("rings/dcs_fast_powder_refine_detector.h5", (996.0, 1115.9), [209, 244, 349, 414, 508, 560, 576, 642]),
    ("rings/test_edf.edf", (250.2, 308.1), [62, 96, 145, 249]),
]
SAXSLAB = "silver_behenate/saxslab_image.tiff"
# No ring that a circle follows: halo, streaks, and rings of grains on a tilted detector.
NO_RING = [
    "rings/somedata_0001.mccd.bz2",
    "rings/Cr8F8140k103.0026.bz2",
    "rings/corkcont2_H_0089.mccd.bz2",
]
NEGATIVES = [
    "negatives/GACdc100_0_003.img",
    "negatives/00567_A1_Water_at_WAXS.tiff",
    "negatives/GI2_A9_19_001_0000.tiff",
    "negatives/Pilatus100K_scan030_033.tiff",
    "negatives/vac_007_data_000001.h5",
    "negatives/nexus-example.hdf5",
]
BRAGG = [
    "hdf5/jungfrau_9.cxi",
    "jungfrau/mod5_conv0.bin",
    "cspad/cxitut13_r10_32_cspadAsic.npy",
    "bragg/run2_1_00148.cbf.bz2",
    "bragg/DLS_I03_smargon_0001.cbf.gz",
    "bragg/DLS_I23_P12M_thau_00001.cbf.gz",
    "bragg/dlsnxs2cbf_therm_0001.cbf.gz",
    "bragg/l-cyst_01_00001.cbf",
    "bragg/l-cyst_03_00001.cbf",
    "bragg/TIMEPIX_SU_512-stdgoni_0001.img",
    "bragg/TIMEPIX_SU_516-stdgoni_0001.img",
    "bragg/i01f0001.edf.bz2",
    "bragg/b191_1_9_1.img.bz2",
    "bragg/oPPA_5grains_0001.tif.bz2",
]
OPTIONS = {
    "jungfrau/mod5_conv0.bin": ["--shape", "512,1024", "--dtype", "float32"],
    "hdf5/cspad_thermolysin_2.cxi": ["--geometry", "hdf5/cspad_thermolysin.geom"],
}
FRAMES = {"hdf5/jungfrau_9.cxi": "0..3", "negatives/nexus-example.hdf5": "0..3"}
NEAR_TRUTH = [
    ("hdf5/thaumatin_vds.h5", "hdf5/thaumatin.stream"),
    ("hdf5/cspad_thermolysin_2.cxi", "hdf5/cspad_thermolysin_2.stream"),
]
# Bits of a CXI mask that do not make a pixel invalid: saturated, signal, and our artifact.
STILL_VALID = 0x2 | 0x1000 | 0x8000


class Program:
    """The peaknet binary, and where its files go."""

    def __init__(self, path, net, cache):
        self.path, self.net, self.cache = path, net, cache

    def run(self, *arguments):
        done = subprocess.run([self.path, *map(str, arguments)], capture_output=True, text=True, check=False)
        if done.returncode == 2:
            raise RuntimeError(f"{' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done.stdout

    def kept(self, name, make):
        """The JSON file of the cache, made where it is not there."""
        path = self.cache / name
        if not path.exists():
            path.write_text(json.dumps(make()))
        return json.loads(path.read_text())


def simulated_sets(program):
    """Simulated runs of every detector, with all artifacts and with none; named after the program, whose simulator may have changed."""
    version = hashlib.sha256(pathlib.Path(program.path).read_bytes()).hexdigest()[:10]
    folder = program.cache / f"simulated-{version}"
    folder.mkdir(exist_ok=True)
    sets = {"all": [], "none": []}
    for artifacts, paths in sets.items():
        for detector in DETECTORS:
            path = folder / f"{detector}-{artifacts}.cxi"
            if not path.exists():
                program.run("simulate", "--out", path, "--frames", 6, "--artifacts", artifacts, "--seed", 4711,
                            "--hit-rate", 0.8, "--detector", detector)
            paths.append(path)
    return folder, sets


def simulated(program):
    folder, sets = simulated_sets(program)
    found = {}
    for artifacts, paths in sets.items():
        score = lambda *more: json.loads(program.run("score", "--set", *paths, *more))
        found[artifacts] = {"net": score("--net", program.net)}
        for finder in CLASSICAL:
            name = f"{folder.name}/{finder}-{artifacts}.json"
            found[artifacts][finder] = program.kept(name, lambda f=finder: score("--finder", f))
    return found


def predicted(program, data, file, finder="net"):
    """Predicts a real file; its lines, and the CXI file."""
    out = program.cache / "real" / f"{finder}-{file.replace('/', '-')}.cxi"
    out.parent.mkdir(exist_ok=True)
    options = [str(data / o) if o.endswith(".geom") else o for o in OPTIONS.get(file, [])]
    if file in FRAMES:
        options += ["--frames", FRAMES[file]]
    which = ["--net", program.net, "--classes"] if finder == "net" else ["--finder", finder]
    lines = program.run("predict", data / file, "--out", out, "--force", "--json", *which, *options).splitlines()
    return [line for line in map(json.loads, lines) if "frame" in line], out


def counts(program, data, file):
    """Peaks of each frame by each finder, and the share of the valid pixels that the net marks."""
    lines, out = predicted(program, data, file)
    found = {"net": [line["n_peaks"] for line in lines], "artifact": [line["artifact_fraction"] for line in lines]}
    for finder in CLASSICAL:
        make = lambda f=finder: [line["n_peaks"] for line in predicted(program, data, file, f)[0]]
        found[finder] = program.kept(f"{finder}-{file.replace('/', '-')}.json", make)
    return found, out


def near_truth(program, data):
    found = {}
    for file, stream in NEAR_TRUTH:
        score = lambda out: json.loads(program.run("score", "--peaks", out, "--against", data / stream))
        found[file] = {"net": score(predicted(program, data, file)[1])}
        for finder in CLASSICAL:
            name = f"near-{finder}-{file.replace('/', '-')}.json"
            make = lambda f=finder, s=score, n=file: s(predicted(program, data, n, f)[1])
            found[file][finder] = program.kept(name, make)
    return found


def ring_coverage(out, center, radii, degrees=2):
    """Of each ring the share of its azimuth, where it is visible on valid pixels, that is marked artifact; and that visible share.

    A stretch of 2 degrees is on valid pixels where at least 5 of them are within 2 px of the ring; it is visible where their
    mean is over that of the pixels 6 to 12 px off by 3 sigma of the difference, or lies between two stretches that are; and it is marked
    where at least half of its pixels within 2 px are of class artifact.
    """
    with h5py.File(out) as file:
        pixels = file["/entry_1/data_1/data"][0].astype(np.float64)
        mask = file["/entry_1/data_1/mask"][0]
        classes = file["/entry_1/result_1/classes"][0]
    valid = (mask & ~np.uint16(STILL_VALID)) == 0
    y, x = np.indices(pixels.shape)
    radius = np.hypot(x - center[0], y - center[1])
    count = 360 // degrees
    sector = (np.degrees(np.arctan2(y - center[1], x - center[0])) % 360 / degrees).astype(int) % count
    found = []
    for ring in radii:
        away = np.abs(radius - ring)
        on, off = valid & (away <= 2), valid & (away >= 6) & (away <= 12)
        # One hot pixel must not make a ring visible.
        top = np.percentile(pixels[on], 99) if on.any() else 0

        def tally(where):
            values, at = np.minimum(pixels[where], top), sector[where]
            n = np.bincount(at, minlength=count)
            mean = np.bincount(at, values, count) / np.maximum(n, 1)
            variance = np.bincount(at, values**2, count) / np.maximum(n, 1) - mean**2
            return n, mean, np.maximum(variance, 0) / np.maximum(n, 1)

        (n_on, mean_on, error_on), (n_off, mean_off, error_off) = tally(on), tally(off)
        enough = (n_on >= 5) & (n_off >= 5)
        seen = enough & (mean_on - mean_off > 3 * np.sqrt(error_on + error_off))
        seen |= enough & np.roll(seen, 1) & np.roll(seen, -1)
        marked = np.bincount(sector[on], classes[on] == 2, count) >= 0.5 * np.maximum(n_on, 1)
        share = float((marked & seen).sum() / seen.sum()) if seen.sum() else None
        found.append({"radius_px": ring, "visible": float(seen.sum() / max(enough.sum(), 1)), "marked": share})
    return found


def rings(program, data):
    found = {}
    rows = json.loads(program.run("calibrate", data / SAXSLAB, "--calibrant", "silver-behenate", "--net", program.net, "--json"))["rings"]
    found[SAXSLAB] = counts(program, data, SAXSLAB)[0] | {"rings": [
        {"radius_px": row["found_radius_px"], "visible": row["visible_fraction"], "marked": row["artifact_fraction"]}
        for row in rows if row["found_radius_px"] is not None and row["visible_fraction"] > 0.05]}
    for file, center, radii in RINGS:
        peaks, out = counts(program, data, file)
        found[file] = peaks | {"rings": ring_coverage(out, center, radii)}
    for file in NO_RING:
        found[file] = counts(program, data, file)[0] | {"rings": []}
    return found


# What follows turns figures into Markdown.

def number(value, digits=3):
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def get(tree, path):
    for key in path:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            return None
    return tree


class Page:
    def __init__(self, figures, other):
        self.figures, self.other = figures, other

    def cell(self, path, digits=3):
        """A figure, and the other report's in parentheses."""
        text = number(get(self.figures, path), digits)
        return f"{text} ({number(get(self.other, path), digits)})" if self.other else text

    def table(self, head, rows):
        print("| " + " | ".join(head) + " |")
        print("|" + "---|" * len(head))
        for row in rows:
            print("| " + " | ".join(row) + " |")
        print()

    def part_of(self, tree, kind, edges, key, digits):
        parts = [part for part in get(tree, [kind]) or [] if edges in part.values()]
        return number(parts[0][key] if parts else None, digits)

    def parts(self, root, kind, label):
        """Shells or ranges of SNR: the net's, and recall and precision of the classical finders."""
        names = ["snr"] if kind == "snr" else ["d_angstrom", "radius_px"]
        edges = []
        for finder in ["net", *CLASSICAL]:
            for part in get(self.figures, [*root[:2], finder, *root[3:], kind]) or []:
                pair = next(part[name] for name in names if name in part)
                if pair not in edges:
                    edges.append(pair)
        infinite = lambda pair: [float("inf") if edge is None else edge for edge in pair]
        edges.sort(key=lambda pair: sum(infinite(pair)), reverse=kind == "shells")
        rows = []
        for pair in edges:
            def cell(finder, key, digits=3):
                path = [*root[:2], finder, *root[3:]]
                text = self.part_of(get(self.figures, path), kind, pair, key, digits)
                if self.other:
                    text += f" ({self.part_of(get(self.other, path), kind, pair, key, digits)})"
                return text
            low, high = pair
            name = f"{'inf' if low is None else low:g} to {'inf' if high is None else high}" if low is not None else f"over {high:g}"
            if kind == "snr" and pair == [3.0, 6.0]:
                name += ", ignored"
            rows.append([name, *(cell("net", key) for key in
                        ["n_true", "n_found", "recall", "precision", "f1", "centroid_error_median_px", "centroid_error_px"]),
                        *(f"{cell(finder, 'recall')} / {cell(finder, 'precision')}" for finder in CLASSICAL)])
        self.table([label, "true", "found", "recall", "precision", "F1", "median px", "mean px",
                    *(f"{finder} recall / precision" for finder in CLASSICAL)], rows)

    def simulated(self):
        print("## Simulated held-out frames")
        print("`peaknet simulate --frames 6 --seed 4711 --hit-rate 0.8`, every detector; SNR above 6, no mask given.\n")
        for artifacts in ["all", "none"]:
            print(f"### `--artifacts {artifacts}`")
            rows = []
            roots = [(finder, [finder]) for finder in ["net", *CLASSICAL]]
            roots += [(f"net, frames {half.replace('_', ' ')}", ["net", half]) for half in ["with_artifacts", "without_artifacts"]]
            roots += [(f"net, {detector}", ["net", "sets", index]) for index, detector in enumerate(DETECTORS)]
            for name, root in roots:
                root = ["simulated", artifacts, *root]
                if not get(self.figures, [*root, "frames"]):
                    continue
                rows.append([name, *(self.cell([*root, "peaks", key]) for key in
                            ["n_true", "recall", "precision", "f1", "centroid_error_median_px", "centroid_error_px"]),
                            *(self.cell([*root, "classes", "artifact", key]) for key in ["iou", "precision", "recall"]),
                            *(self.cell([*root, "blanks", key], 2) for key in ["frames", "false_peaks_mean", "false_peaks_max"])])
            self.table(["", "true", "recall", "precision", "F1", "median px", "mean px", "artifact IoU", "artifact precision",
                        "artifact recall", "blank frames", "false peaks mean", "max"], rows)
            root = ["simulated", artifacts, "net", "artifact_free"]
            print(f"Frames without artifacts: {self.cell([*root, 'frames'])}; marked artifact there: "
                  f"{self.cell([*root, 'marked_fraction'], 6)} of the valid pixels, in the worst frame "
                  f"{self.cell([*root, 'worst_marked_fraction'], 6)}, largest patch {self.cell([*root, 'largest_component_px'])} px.\n")
            self.parts(["simulated", artifacts, "net"], "snr", "SNR")
            self.parts(["simulated", artifacts, "net"], "shells", "d / angstrom")
            if artifacts == "all":
                print("Of these, the frames with artifacts alone:\n")
                self.parts(["simulated", artifacts, "net", "with_artifacts"], "snr", "SNR")

    def near_truth(self):
        print("## Real frames: reflections that CrystFEL integrated")
        print("Recall of those with I/sigma over 5; share of found peaks within 3 px of any predicted one; both for the list shifted by 20 px.\n")
        rows = []
        for file, _ in NEAR_TRUTH:
            frames = get(self.figures, ["near_truth", file, "net", "frames"]) or []
            for finder in ["net", *CLASSICAL]:
                roots = [(f"frame {i}", ["frames", i]) for i in range(len(frames))] + [("all", ["reflections"])]
                for name, root in roots:
                    root = ["near_truth", file, finder, *root]
                    rows.append([file, name, finder, *(self.cell([*root, key]) for key in
                                ["n_strong", "recall", "n_found", "share", "chance_recall", "chance_share"])])
        self.table(["file", "frame", "finder", "reflections", "recall", "found", "share", "chance recall", "chance share"], rows)

    def peaks(self, title, kind, files):
        print(f"## {title}")
        rows = []
        for file in files:
            root = [kind, file]
            # The most of a frame; frames differ little but for blanks.
            cells = []
            for finder in ["net", *CLASSICAL, "artifact"]:
                most = [max(values) if (values := get(tree, [*root, finder])) else None
                        for tree in ([self.figures, self.other] if self.other else [self.figures])]
                texts = [number(value, 5) for value in most]
                cells.append(texts[0] + (f" ({texts[1]})" if self.other else ""))
            rows.append([file, *cells])
        self.table(["file (most in a frame)", "net", *CLASSICAL, "artifact fraction"], rows)

    def rings(self):
        print("### Artifact coverage of the rings")
        print("Share of the visible azimuth that is marked; `saxslab_image.tiff` by `peaknet calibrate`.\n")
        rows = []
        for file, found in self.figures["rings"].items():
            for index, ring in enumerate(found["rings"]):
                if ring["visible"] < 0.1 or ring["marked"] is None:
                    continue
                root = ["rings", file, "rings", index]
                rows.append([file, f"{ring['radius_px']:.0f}", self.cell([*root, "visible"], 2), self.cell([*root, "marked"], 2)])
        self.table(["file", "radius / px", "visible", "marked"], rows)

    def print(self):
        print(f"# {self.figures['net']}" + (f", in parentheses {self.other['net']}" if self.other else "") + "\n")
        self.simulated()
        if "near_truth" in self.figures:
            self.near_truth()
            self.peaks("Negatives: every peak is false", "negatives", NEGATIVES)
            self.peaks("Rings", "rings", list(self.figures["rings"]))
            self.rings()
            self.peaks("Other Bragg frames", "bragg", BRAGG)
        print(f"Made in {self.figures['seconds']:.0f} s.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", required=True)
    parser.add_argument("--cache", required=True, type=pathlib.Path)
    parser.add_argument("--peaknet", default="peaknet")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--against", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    where = subprocess.run(["which", arguments.peaknet], capture_output=True, text=True, check=False).stdout.strip()
    program = Program(where or sys.exit(f"no program {arguments.peaknet}; give --peaknet"), arguments.net, arguments.cache)
    start = time.time()

    def step(name, work):
        begin = time.time()
        figures[name] = work()
        print(f"{name}: {time.time() - begin:.0f} s", file=sys.stderr)

    figures = {"net": str(arguments.net)}
    step("simulated", lambda: simulated(program))
    if "PEAKNET_DATA" in os.environ:
        data = pathlib.Path(os.environ["PEAKNET_DATA"])
        step("near_truth", lambda: near_truth(program, data))
        step("negatives", lambda: {file: counts(program, data, file)[0] for file in NEGATIVES})
        step("rings", lambda: rings(program, data))
        step("bragg", lambda: {file: counts(program, data, file)[0] for file in BRAGG})
    else:
        print("PEAKNET_DATA is not set: no real frames", file=sys.stderr)
    figures["seconds"] = time.time() - start
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))
    Page(figures, json.loads(arguments.against.read_text()) if arguments.against else None).print()


if __name__ == "__main__":
    main()
