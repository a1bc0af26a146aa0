"""Makes the seeds of the fuzz targets in fuzz/seeds/ from the test fixtures: h5py 3.16.

Run it from the root of the project.
"""
import glob, os, shutil, h5py

made = "tests/fixtures/io"
for target in "images", "chunks", "geometry", "lists":
    os.makedirs(f"fuzz/seeds/{target}", exist_ok=True)
for name in glob.glob(f"{made}/*.*") + glob.glob(f"{made}/folder/*.cbf"):
    if not name.endswith((".h5", ".cxi", ".py", ".geom", ".poni", ".stream", ".lst")):
        shutil.copy(name, "fuzz/seeds/images")
for kind, target in ("geom", "geometry"), ("poni", "geometry"), ("stream", "lists"), ("lst", "lists"):
    for name in glob.glob(f"{made}/*.{kind}"):
        shutil.copy(name, f"fuzz/seeds/{target}")
ids = [1, 2, 32004, 32008, 32015, 32026, 32000]
with h5py.File(f"{made}/codecs.h5") as f:
    for name, d in f.items():
        if not d.chunks or d.shape == ():
            continue
        plist = d.id.get_create_plist()
        if plist.get_nfilters() != 1 or plist.get_filter(0)[0] not in ids:
            continue
        number, _, values, _ = plist.get_filter(0)
        element = {1: 0, 2: 1, 4: 2, 8: 3}[d.dtype.itemsize]
        codec, block = (values[4], values[3] // 8) if number == 32008 and len(values) > 4 else (0, 0)
        head = bytes([ids.index(number), element, codec, block & 255])
        with open(f"fuzz/seeds/chunks/{name}", "wb") as out:
            out.write(head + d.id.read_direct_chunk((0,) * d.ndim)[1])
with open("fuzz/seeds/geometry/two.geom", "w") as out:
    out.write("photon_energy = /LCLS/e eV ; c\nclen = 100 mm\nres = 10000\nmask = /m\ndata = /d/%/x\ndim0 = %\ndim1 = 3\ndim2 = ss\ndim3 = fs\n"
              "flag_morethan = 50\nmask1_data = /m\nmask1_goodbits = 0x1\nrigid_group_q0 = a,b\nrigid_group_collection_q = q0\n"
              "a/min_fs = 0\na/max_fs = 9\na/min_ss = 0\na/max_ss = 4\na/fs = -x\na/ss = -1.0y\na/corner_x = 5\na/corner_y = 2.5\n"
              "coffset = 0.001\nb/min_fs = 10\nb/max_fs = 19\nb/min_ss = 0\nb/max_ss = 4\nb/fs = +0.6x +0.8y\nb/ss = -0.8x+0.6y\n"
              "b/corner_x = -20\nb/corner_y = 7\nbad_a/min_fs = 2\nbad_a/max_fs = 3\nbad_a/panel = a\nbadlab/min_x = -1\nbadlab/max_x = 0.2\n")
with open("fuzz/seeds/geometry/tilted.poni", "w") as out:
    out.write('poni_version: 2.1\nDetector: Eiger4M\nDetector_config: {"orientation": 2, "pixel1": 7.5e-5, "pixel2": 7.5e-5}\n'
              "Distance: 0.2\nPoni1: 0.08\nPoni2: 0.07\nRot1: -0.01\nRot2: 0.02\nRot3: 0.03\nWavelength: 1e-10\n")
with open("fuzz/seeds/lists/a.stream", "w") as out:
    out.write("CrystFEL stream format 2.3\n----- Begin chunk -----\nImage filename: /x/a.cxi\nEvent: //1\nhit = 1\nindexed_by = xgandalf\n"
              "Peaks from peak search\n  fs/px   ss/px (1/d)/nm^-1   Intensity  Panel\n 10.5  20.5  1.0  100.0  p0\nEnd of peak list\n"
              "--- Begin crystal\nReflections measured after indexing\n   h    k    l          I   sigma(i)       peak background  fs/px  ss/px panel\n"
              "   1   -2    3     100.0     5.0   50.0   2.0   10.0   20.0 p0\nEnd of reflections\n--- End crystal\n----- End chunk -----\n")
with open("fuzz/seeds/lists/a.lst", "w") as out:
    out.write("/x/a.cxi //7\nb.h5 entry//2/3\n")
