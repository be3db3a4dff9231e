"""Reads float32 tensors of a safetensors file with the standard library alone."""

import array
import json
import struct


def read(path):
    """Returns {name: (shape, array of floats)}."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        start = 8 + length
        tensors = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            if entry["dtype"] != "F32":
                raise ValueError(f"{path}: tensor {name} is {entry['dtype']}, expected F32")
            begin, end = entry["data_offsets"]
            file.seek(start + begin)
            values = array.array("f", file.read(end - begin))
            tensors[name] = (entry["shape"], values)
    return tensors
