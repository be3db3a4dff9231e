#!/usr/bin/env python3
"""Makes the goldens that adapters are compared with, by PEFT on the tiny models of make_goldens.py and make_families.py.

Needs torch, transformers and peft. Every model gets a folder in tests/golden/lora:

    adapter_config.json adapter_model.safetensors    an adapter as PEFT saves it, whose A, B and head are random
    grads.safetensors                                the gradient of the first batch's loss, under the base model's names
    merged.safetensors                               after twenty steps: the weights that adapters were merged into
    golden.json                                      loss, logits before and after training, losses of twenty steps of AdamW

The texts are those of tests/golden/families. PyTorch computes in double. Dropout is 0.

Usage: make_lora.py [NAME ...]
"""

import csv
import json
import os
import sys
import warnings

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import BertTokenizer

from make_families import BATCH, HERE, RATE, load, logits_of, loss_of, steps_of

GOLDEN = os.path.join(HERE, "..", "golden")
TEXTS = os.path.join(GOLDEN, "families")
# The base model, target_modules, modules_to_save beside PEFT's own.
MODELS = {
    "bert": ("parity/tiny/model", ["query", "value"], []),
    "bert-dense": ("parity/tiny/model", ["dense", "attention.self.key"], []),
    "distilbert": ("families/distilbert", ["q_lin", "v_lin"], ["pre_classifier"]),
    "modernbert": ("families/modernbert", ["Wqkv", "mlp.Wo"], ["head"]),
    "deberta-v2": ("families/deberta-v2", ["query_proj", "key_proj"], ["pooler"]),
    "albert": ("families/albert", ["query", "ffn"], []),
}
RANK, ALPHA = 3, 5


def base_of(name):
    return os.path.normpath(os.path.join(GOLDEN, MODELS[name][0]))


def plain(name):
    """PEFT's name of a parameter as the base model has it."""
    return (
        name.removeprefix("base_model.model.").replace(".modules_to_save.default", "").replace(".default", "")
    )


def make_adapter(folder, name):
    _, targets, saved = MODELS[name]
    config = LoraConfig(
        task_type="SEQ_CLS", r=RANK, lora_alpha=ALPHA, target_modules=targets, modules_to_save=saved or None
    )
    torch.manual_seed(2)
    model = get_peft_model(load(base_of(name), torch.float32, "classification"), config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    os.remove(os.path.join(folder, "README.md"))
    path = os.path.join(folder, "adapter_config.json")
    with open(path, encoding="utf-8") as file:
        entries = json.load(file)
    entries["base_model_name_or_path"] = MODELS[name][0]
    entries["target_modules"].sort()  # of a set
    with open(path, "w", encoding="utf-8") as file:
        json.dump(entries, file, indent=2)
        file.write("\n")


def adapted(folder, name):
    return PeftModel.from_pretrained(
        load(base_of(name), torch.float64, "classification"), folder, is_trainable=True
    ).double()


def make_golden(name):
    folder = os.path.join(GOLDEN, "lora", name)
    os.makedirs(folder, exist_ok=True)
    make_adapter(folder, name)
    with open(os.path.join(base_of(name), "tokenizer_config.json"), encoding="utf-8") as file:
        length = json.load(file)["model_max_length"]
    tokenizer = BertTokenizer(os.path.join(base_of(name), "vocab.txt"), model_max_length=length)
    encode = lambda *texts: dict(tokenizer(*texts, truncation=True, max_length=length))
    with open(os.path.join(TEXTS, "train.csv"), encoding="utf-8", newline="") as file:
        rows = [(encode(row["text"], row["pair"]), int(row["label"])) for row in csv.DictReader(file)]
    with open(os.path.join(TEXTS, "test.csv"), encoding="utf-8", newline="") as file:
        tests = [encode(row["text"]) for row in csv.DictReader(file)]
    parts = [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
    batches = [
        {"encoded": [row for row, _ in part], "labels": [label for _, label in part]} for part in parts
    ]

    model = adapted(folder, name)
    inner = model.get_base_model()  # whose signature tells what it takes; the adapters are in it
    before = logits_of(inner, tests)
    loss = loss_of(inner, batches[0])
    loss.backward()
    grads = {plain(key): p.grad.float() for key, p in model.named_parameters() if p.grad is not None}
    save_file(grads, os.path.join(folder, "grads.safetensors"))
    losses, _ = steps_of(model, batches, lambda _, batch: loss_of(inner, batch))
    after = logits_of(inner, tests)
    merged = model.merge_and_unload().state_dict()
    modules = {key.split(".lora_")[0] for key in grads if ".lora_" in key}
    weights = {f"{module}.weight": merged[f"{module}.weight"].float().contiguous() for module in modules}
    save_file(weights, os.path.join(folder, "merged.safetensors"))
    golden = {
        "made_with": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
        | {"peft": peft.__version__},
        "batch": BATCH,
        "rate": RATE,
        "loss": loss.item(),
        "before": before,
        "losses": losses,
        "after": after,
    }
    with open(os.path.join(folder, "golden.json"), "w", encoding="utf-8") as file:
        entries = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items()]
        file.write("{\n" + ",\n".join(entries) + "\n}\n")
    print(f"{name}: loss {loss.item():.6f}, {len(grads)} gradients, {len(weights)} merged weights")


def main():
    warnings.filterwarnings("ignore")
    for name in sys.argv[1:] or MODELS:
        make_golden(name)


if __name__ == "__main__":
    main()
