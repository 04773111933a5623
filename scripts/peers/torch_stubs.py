"""Empty stand-ins for the CUDA libraries that PyPI's torch is linked to: stubs.py TORCH_LIB FOLDER

They let torch start without gigabytes of CUDA; nothing of it runs on a processor
without a GPU. Every function in them answers an error.
"""
import collections
import pathlib
import re
import subprocess
import sys

lib, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)


def told(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


needed, versions, symbols = set(), collections.defaultdict(set), collections.defaultdict(set)
bare = set()
for path in lib.glob("lib*.so"):
    needed |= set(re.findall(r"\(NEEDED\).*\[(lib(?:cu|nv|nccl)[^\]]*)\]", told("readelf", "-d", path)))
    file = ""
    for line in told("readelf", "-V", path).splitlines():
        if found := re.search(r"File: (\S+)", line):
            file = found[1]
        elif found := re.search(r"Name: (\S+)\s+Flags", line):
            versions[file].add(found[1])
    for name in told("nm", "-D", "--undefined-only", path).split():
        name, _, version = name.partition("@")
        if version:
            symbols[version].add(name)
        else:
            bare.add(name)
prefixes = {"libnccl": "nccl", "libcusparseLt": "cusparseLt", "libcufile": "cuFile", "libnvshmem_host": "nvshmem"}
for name in sorted(needed):
    own = prefixes.get(name.split(".")[0])
    tags = sorted(versions[name])
    functions = {v: sorted(symbols[v]) for v in tags} or {"": sorted(s for s in bare if own and s.startswith(own))}
    source, script = folder / "stub.c", folder / "stub.map"
    source.write_text("".join(f"int {f}(void) {{ return 999; }}\n" for fs in functions.values() for f in fs))
    script.write_text("".join(f"{v} {{ global: {''.join(f + ';' for f in fs)} }};\n" for v, fs in functions.items() if v))
    command = ["gcc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{name}", "-o", folder / name, source]
    if tags:
        command.insert(4, f"-Wl,--version-script={script}")
    subprocess.run(command, check=True)
