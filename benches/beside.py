"""Times h5py (with hdf5plugin) and fabio on the same files as benches/read.rs; the data set is found as there.

python3 benches/beside.py FILE...   Each frame is read as float32, which is what a viewer needs.
"""
import statistics
import sys
import time

import fabio
import h5py
import hdf5plugin  # noqa: F401
import numpy as np

for name in sys.argv[1:]:
    if name.endswith((".h5", ".cxi", ".hdf5")):
        f = h5py.File(name)
        sets = []
        f.visititems(lambda path, o: sets.append(o) if isinstance(o, h5py.Dataset) and o.ndim in (2, 3) and "mask" not in path else None)
        known = [p for p in ("/entry_1/data_1/data", "/entry/data/data", "/entry/data/data_000001") if p in f]
        d = f[known[0]] if known else max(sets, key=lambda o: o.size)
        read = (lambda i: d[i % d.shape[0]].astype("f4")) if d.ndim == 3 else (lambda i: d[()].astype("f4"))
    else:
        read = lambda i: fabio.open(name).data.astype("f4")
    try:
        a = read(0)
    except Exception as error:
        print(f"{name}: {error}")
        continue
    took = []
    for i in range(15):
        start = time.perf_counter()
        read(i)
        took.append((time.perf_counter() - start) * 1e3)
    print(f"{name.rsplit('/', 1)[-1]:<36} frame {statistics.median(took):7.2f} ms")
