"""Makes tests/golden/torch: files as torch.save writes them, in both forms, with tensors.json, what is in them.

    make_torch_goldens.py           needs torch
"""

import collections
import json
import pathlib

import torch

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "torch"


def tensors():
    torch.manual_seed(0)
    base = torch.randn(3, 4)
    state = collections.OrderedDict()
    state["plain"] = base
    state["Plain"] = base + 1  # another, though it differs in case only
    state["tied"] = base  # the same storage
    state["transposed"] = base.t()
    state["rows"] = base[1:]
    state["column"] = base[:, 2]
    state["scalar"] = torch.tensor(1.5)
    state["empty"] = torch.empty(0, 4)
    state["half"] = base.half()
    state["bfloat16"] = base.bfloat16()
    state["double"] = base.double()
    state["parameter"] = torch.nn.Parameter(torch.randn(2, 1, 2))
    state["ids"] = torch.arange(3)
    state["not a tensor"] = 7
    return state


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def main():
    GOLDEN.mkdir(exist_ok=True)
    state = tensors()
    torch.save(state, GOLDEN / "zip.bin")
    torch.save(state, GOLDEN / "older.bin", _use_new_zipfile_serialization=False)
    torch.save({"evil": Evil()}, GOLDEN / "evil.bin")
    torch.save({"evil": Evil()}, GOLDEN / "evil-older.bin", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.Linear(2, 1), GOLDEN / "module.bin")
    torch.save([1, 2], GOLDEN / "list.bin")
    torch.save({"epoch": 3, "state_dict": {"weight": torch.ones(2)}}, GOLDEN / "nested.bin")
    torch.save(state, GOLDEN / "protocol4.bin", pickle_protocol=4)
    values = {
        name: {"dims": list(t.shape), "values": t.detach().double().flatten().tolist()}
        for name, t in state.items()
        if isinstance(t, torch.Tensor)
    }
    (GOLDEN / "tensors.json").write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
