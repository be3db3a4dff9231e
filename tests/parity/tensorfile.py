"""Reads and writes float32 tensors of a safetensors file with the standard library alone."""

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


def write(path, tensors):
    """Writes {name: (shape, array of floats)}."""
    header, end = {}, 0
    for name, (shape, values) in tensors.items():
        begin, end = end, end + 4 * len(values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, values in tensors.values():
            file.write(values.tobytes())
