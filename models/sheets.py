#!/usr/bin/env python3
"""Sheets of real frames beside simulated ones, to judge with the eyes what the simulator lacks.

  PEAKNET_DATA=FOLDER models/sheets.py --out FOLDER [--peaknet PROGRAM]

Left a window of a real frame, right two windows of simulated frames of the kind that is nearest to it, each in its own tone (asinh of
the robust deviation). Needs h5py, hdf5plugin, fabio, numpy and Pillow. Sheets of real frames stay out of the repository.
"""

import argparse
import os
import pathlib
import subprocess
import tempfile

import fabio
import h5py
import hdf5plugin  # noqa: F401: registers filters
import numpy as np
from PIL import Image, ImageDraw

SIDE = 300
# Real file, its window's left and top, and how the simulator is asked for something like it.
PAIRS = [
    ("thaumatin_pilatus6m/thau_3_2_0005.cbf.bz2", 900, 700, ["--detector", "pilatus2m", "--artifacts", "none"]),
    ("hdf5/cspad_thermolysin_2.cxi", 776, 185, ["--detector", "cspad", "--artifacts", "none"]),
    ("hdf5/jungfrau_9.cxi", 500, 100, ["--detector", "jungfrau", "--artifacts", "none"]),
    ("bragg/run2_1_00148.cbf.bz2", 1000, 1000, ["--detector", "pilatus1m", "--artifacts", "none"]),
    ("bragg/i01f0001.edf.bz2", 600, 500, ["--detector", "ccd", "--artifacts", "none"]),
    ("silver_behenate/saxslab_image.tiff", 90, 200, ["--detector", "pilatus300k", "--artifacts", "none", "--calibrant", "silver-behenate", "--distance-m", "0.6"]),
    ("silver_behenate/FLICAM_AgBeh_001_c.tif", 300, 400, ["--detector", "ccd", "--artifacts", "none", "--calibrant", "silver-behenate", "--distance-m", "0.6"]),
    ("rings/CeO2_Pilatus1M.tif", 300, 350, ["--detector", "pilatus1m", "--artifacts", "rings"]),
    ("rings/ceria_ff1.h5", 1000, 1200, ["--detector", "rayonix", "--artifacts", "rings"]),
    ("rings/corkcont2_H_0089.mccd.bz2", 1250, 700, ["--detector", "rayonix", "--artifacts", "rings"]),
    ("rings/somedata_0001.mccd.bz2", 700, 700, ["--detector", "ccd", "--artifacts", "all"]),
    ("negatives/GACdc100_0_003.img", 500, 500, ["--detector", "ccd", "--artifacts", "jet"]),
]


def real(path):
    """The first frame of a file, (H, W) float."""
    if path.suffix in (".h5", ".cxi"):
        with h5py.File(path) as file:
            found = []
            file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) and item.ndim >= 2 else None)
            data = max(found, key=lambda item: item.size)
            return np.asarray(data[0] if data.ndim == 3 else data[()], float)
    return np.asarray(fabio.open(str(path)).data, float)


def picture(values):
    """Grey of the asinh of the deviation from the median in robust sigmas; bright is many counts."""
    known = values[np.isfinite(values) & (values > -1e6) & (values < 4e9)]
    middle = np.median(known)
    sigma = 1.4826 * np.median(np.abs(known - middle)) or known.std() or 1.0
    tone = np.arcsinh((values - middle) / sigma / 2)
    grey = np.clip((tone + 1.0) / 5.0, 0, 1)
    return (255 * np.nan_to_num(grey)).astype(np.uint8)


def window(frame, left, top):
    left = min(left, max(0, frame.shape[1] - SIDE))
    top = min(top, max(0, frame.shape[0] - SIDE))
    cut = picture(frame[top:top + SIDE, left:left + SIDE])
    whole = np.zeros((SIDE, SIDE), np.uint8)
    whole[:cut.shape[0], :cut.shape[1]] = cut
    return whole


def simulated(program, folder, options):
    path = folder / "simulated.cxi"
    subprocess.run([program, "simulate", "--out", path, "--force", "--frames", "2", "--seed", "31", "--hit-rate",
                    "0" if "--calibrant" in options else "1", *options], check=True, capture_output=True)
    with h5py.File(path) as file:
        frames = file["entry_1/instrument_1/detector_1/data"][()]
    # Beside the middle, where rings and spots are; a calibrant about the beam.
    height, width = frames[0].shape
    about_beam = "--calibrant" in options
    left = (width - SIDE) // 2 if about_beam else int(width * 0.62)
    top = (height - SIDE) // 2 if about_beam else int(height * 0.2)
    return [window(frame, left, top) for frame in frames]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--peaknet", default="peaknet")
    arguments = parser.parse_args()
    data = pathlib.Path(os.environ["PEAKNET_DATA"])
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for file, left, top, options in PAIRS:
            row = [window(real(data / file), left, top), *simulated(arguments.peaknet, pathlib.Path(folder), options)]
            sheet = Image.fromarray(np.concatenate(row, axis=1))
            ImageDraw.Draw(sheet).text((4, 4), f"{file} | simulated: {' '.join(options)}", fill=255)
            rows.append(np.asarray(sheet))
    per = 6
    for start in range(0, len(rows), per):
        columns = [np.concatenate(rows[i:i + per // 2], axis=0) for i in range(start, min(start + per, len(rows)), per // 2)]
        Image.fromarray(np.concatenate(columns, axis=1)).save(arguments.out / f"sheet{start // per}.png")


if __name__ == "__main__":
    main()
