"""One contender of ftc.benchmark, in a process of its own, so that neither threads nor memory of one count for another.

    _contender.py make FILE                        makes a model with weights, as a directory, and ends
    _contender.py ftc|eager|compile FILE           for every line of standard input, a number of steps, prints a line of JSON

FILE holds the options as a JSON object. The first line that is printed tells of the start: {"loss", "setup_seconds", "first_step_seconds"};
loss is that of the batch without dropout, before any step. The others: {"step_ms": [...], "peak_rss_bytes"}.
"""

import json
import os
import resource
import sys
import time


NO_LABEL = -100


def model_class(options):
    """transformers' class of the task, whose name ends like those of its models."""
    import transformers

    return getattr(transformers, "AutoModel" + options["class"])


def make(options):
    """A model of a configuration, or of a directory whose head may be missing, saved."""
    import torch
    from transformers import AutoConfig

    torch.manual_seed(0)
    config = options["config"]
    if isinstance(config, dict):
        values = dict(config)
        model = model_class(options).from_config(AutoConfig.for_model(values.pop("model_type"), **values))
    else:
        model = model_class(options).from_pretrained(config, dtype=torch.float32)
    model.save_pretrained(options["model"])


def ftc_step(options):
    import ftc
    import numpy as np

    net = ftc.compile(
        options["model"],
        batch=options["batch"],
        max_length=options["length"],
        calls=["step", "eval"],
        threads=options["threads"],
        **options["compile"],
    )
    names = {one.source: name for name, one in net.inputs.items()}
    inputs = {names["tokens"]: np.array(options["ids"], np.int32)}
    labels = np.array(options["labels"])
    if "label" in names:
        inputs[names["label"]] = labels
    else:
        places = [np.flatnonzero(row != NO_LABEL) for row in labels]
        inputs[names["masked_positions"]] = places
        inputs[names["masked_tokens"]] = [row[at] for row, at in zip(labels, places)]
    net.set(lr=options["lr"], weight_decay=options["weight_decay"])
    return net.eval(inputs).loss, lambda: net.step(inputs)


def torch_training(torch, model, options, compiled, fused=True, narrow=False):
    """A function that makes a whole training step of a batch, and gives its loss."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=options["lr"], weight_decay=options["weight_decay"], fused=fused
    )
    run = torch.compile(model.train()) if compiled else model.train()

    def step(batch):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=narrow):
            loss = run(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def torch_step(options, compiled):
    import torch

    torch.set_num_threads(options["threads"])
    torch.manual_seed(0)
    model = model_class(options).from_pretrained(options["model"], dtype=torch.float32)
    ids = torch.tensor(options["ids"])
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor(options["labels"])}
    narrow = options["compile"].get("precision") == "bf16"
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=narrow):
        loss = model.eval()(**batch).loss.item()
    step = torch_training(torch, model, options, compiled, narrow=narrow)
    return loss, lambda: step(batch)


def main():
    kind = sys.argv[1]
    with open(sys.argv[2], encoding="utf-8") as file:
        options = json.load(file)
    del sys.path[0]  # this folder, whose modules are the package's
    if kind == "make":
        return make(options)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options["threads"]])  # before any thread starts
    output = os.dup(1)
    os.dup2(2, 1)  # whatever else is printed
    tell = os.fdopen(output, "w")
    start = time.perf_counter()
    loss, step = ftc_step(options) if kind == "ftc" else torch_step(options, kind == "compile")
    built = time.perf_counter()
    step()
    first = time.perf_counter() - built
    for _ in range(options["warmup"]):
        step()
    print(json.dumps({"loss": loss, "setup_seconds": built - start, "first_step_seconds": first}), file=tell, flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begun = time.perf_counter()
            step()
            times.append(1e3 * (time.perf_counter() - begun))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"step_ms": times, "peak_rss_bytes": peak}), file=tell, flush=True)


if __name__ == "__main__":
    main()
