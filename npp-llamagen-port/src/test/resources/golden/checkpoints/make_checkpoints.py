"""Makes the small checkpoints in this folder: python3 make_checkpoints.py (PyTorch 2.13, safetensors 0.8).

expected.json lists, for every file that can be read, each tensor's type, shape, sum as double with NaN and infinities
counted 0, and its numbers in row order ("nan", "inf", "-inf" as texts).
"""

import argparse
import collections
import json
import math
import os
import pickle
import zipfile

import numpy as np
import torch
from safetensors.torch import save_file

FOLDER = os.path.dirname(os.path.abspath(__file__))
EXPECTED = {}


def path(name):
    return os.path.join(FOLDER, name)


def flatten(value, name=""):
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from flatten(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from flatten(item, f"{name}.{index}" if name else str(index))


def number(value):
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def expect(file, value):
    EXPECTED[file] = {}
    for name, tensor in flatten(value):
        label = str(tensor.dtype).removeprefix("torch.")
        if tensor.is_quantized or tensor.is_sparse or label.startswith(("complex", "uint16", "float8")):
            EXPECTED[file][name] = {"shape": list(tensor.shape)}
            continue
        wide = tensor.detach().to(torch.float64)
        EXPECTED[file][name] = {
            "dtype": label,
            "shape": list(tensor.shape),
            "sum": math.fsum(x for x in wide.reshape(-1).tolist() if math.isfinite(x)),
            "numbers": [number(x) for x in tensor.detach().reshape(-1).tolist()],
        }


def save(file, value, **how):
    torch.save(value, path(file), **how)
    expect(file, value)


def types():
    floats = [0.0, -0.0, 1.5, -2.25, math.nan, math.inf, -math.inf, 1e-7, 6e-8, 65504.0, 1 / 3]
    made = {
        str(t).removeprefix("torch."): torch.tensor(floats, dtype=t)
        for t in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    }
    for t in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
        info = torch.iinfo(t)
        made[str(t).removeprefix("torch.")] = torch.tensor([info.min, info.max, 0, 1, 7], dtype=t)
    made["bool"] = torch.tensor([[True, False, True], [False, False, True]])
    return made


def views():
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    halves = torch.arange(60, dtype=torch.float16).reshape(3, 4, 5)
    return {
        "whole": base,
        "transposed": base.t(),
        "rows": base[1:3],
        "columns": base[:, 2:5],
        "every_other": base[::2, 1::2],
        "one": base[2, 3],
        "expanded": base[0, :1].expand(3, 5),
        "expanded_rows": base[1].expand(2, 6),
        "permuted": halves.permute(2, 0, 1),
        "window": base.reshape(-1).unfold(0, 4, 2),
        "empty": base[:, :0],
        "empty_storage": torch.empty(0, 3),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "bytes": torch.arange(6, dtype=torch.uint8).reshape(2, 3).t(),
    }


def nested():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    shared = torch.tensor([1.0, 2.0])
    return {
        "model": model.state_dict(),
        "optimizer": {
            "state": {0: {"step": torch.tensor(4.0), "exp_avg": torch.ones(2)}, 1: {"step": torch.tensor(5.0)}},
            "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.95), "params": [0, 1], "foreach": None, "flag": True}],
        },
        "list": [shared, (shared, {"deep": torch.tensor([7], dtype=torch.int16)})],
        "parameter": torch.nn.Parameter(torch.tensor([3.0])),
        "steps": 12,
        "huge": 2**80,
        "negative": -(2**40),
        "loss": 0.125,
        "text": "Grüße 你好",
        "bytes": b"\x00\xff",
        "args": argparse.Namespace(lr=1e-3, name="run", sizes=[1, 2]),
        "default": collections.defaultdict(list, {"a": [torch.tensor(True)]}),
        "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
        "size": torch.Size([2, 3]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "set": {3},
        "frozen": frozenset([4]),
        "complex": 1 + 2j,
        "numpy_scalar": np.float64(0.5),
        "numpy_int": np.int32(-3),
        "numpy_array": np.arange(3),
        "none": None,
    }


class Custom:
    """Unknown to whoever reads it."""

    def __init__(self):
        self.weight = torch.ones(2)
        self.me = self


class Runs:
    """A pickle that would write a file."""

    def __reduce__(self):
        return os.system, ("touch /tmp/npp-pickle-ran",)


def rewrite(source, target, change, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path(source)) as old, zipfile.ZipFile(path(target), "w", compression) as new:
        for entry in old.namelist():
            info = zipfile.ZipInfo(entry)
            info.compress_type = compression
            new.writestr(info, change(entry, old.read(entry)))


def main():
    save("types.pt", types())
    save("types-legacy.pt", types(), _use_new_zipfile_serialization=False)
    save("views.pt", views())
    save("views-legacy.pt", views(), _use_new_zipfile_serialization=False)
    save("nested.pt", nested())
    save("nested-legacy.pt", nested(), _use_new_zipfile_serialization=False)
    for protocol in (1, 3, 4, 5):
        save(f"nested-protocol{protocol}.pt", nested(), pickle_protocol=protocol)
    save("nested-legacy-protocol4.pt", nested(), pickle_protocol=4, _use_new_zipfile_serialization=False)
    save("bare.pt", torch.arange(3))
    save("custom.pt", {"object": Custom(), "class": Custom, "weight": torch.zeros(1)})
    save("runs.pt", {"attack": Runs(), "weight": torch.ones(1)})
    save(
        "unsupported.pt",
        {
            "complex": torch.tensor([1 + 1j]),
            "uint16": torch.tensor([1, 2], dtype=torch.uint16),
            "float8": torch.zeros(2, 2).to(torch.float8_e4m3fn),
            "quantized": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
            "sparse": torch.eye(2).to_sparse(),
            "fine": torch.ones(2),
        },
    )
    little = lambda entry, data: data
    big = lambda entry, data: b"big" if entry.endswith("byteorder") else data
    rewrite("bare.pt", "big-endian.pt", big)
    rewrite("bare.pt", "compressed.pt", little, zipfile.ZIP_DEFLATED)
    rewrite("bare.pt", "other-prefix.pt", little)
    expect("other-prefix.pt", torch.arange(3))
    with open(path("big-endian-legacy.pt"), "wb") as out:
        for part in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": False}, {}, []):
            pickle.dump(part, out, protocol=2)
    with open(path("plain.pkl"), "wb") as out:
        pickle.dump({"weight": [1.0, 2.0]}, out)
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), path("torchscript.pt"))
    kept = {name: t for name, t in types().items()} | {"scalar": torch.tensor(1.5), "empty": torch.empty(0, 2)}
    save_file(kept, path("types.safetensors"), metadata={"format": "pt", "note": "Grüße"})
    expect("types.safetensors", kept)
    with open(path("expected.json"), "w") as out:
        json.dump(EXPECTED, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
