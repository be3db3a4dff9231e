#!/usr/bin/env python3
"""One contender of bench/predict, in a process of its own: ftc (also in bf16), PyTorch eager, ONNX Runtime or OpenVINO.

    predict_peer.py ftc|bf16|eager|onnx|openvino OPTIONS.json

OPTIONS: {"model": a directory as Hugging Face saves it, "ids": token ids of each text, "batch", "threads"}. For every line
of standard input, a JSON list of batches, each a list of texts' numbers, it prints a line: {"seconds", "scores" of the first
batch, "peak_rss_bytes"}. A contender is a function from a batch's ids to its scores; all but ftc pad to the longest text.
"""

import json
import os
import resource
import sys
import time


def padded(batch):
    """Ids and attention mask of a batch, [texts, longest] each."""
    import numpy as np

    ids = np.zeros((len(batch), max(map(len, batch))), np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(batch):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return ids, mask


def make_ftc(options, precision="fp32"):
    import ftc

    longest = max(map(len, options["ids"]))
    net = ftc.compile(
        options["model"],
        batch=options["batch"],
        max_length=longest,
        calls=["eval"],
        threads=options["threads"],
        precision=precision,
    )
    tokens = next(name for name, one in net.inputs.items() if one.source == "tokens")
    return lambda batch: net.eval({tokens: batch}).logits


def make_bf16(options):
    return make_ftc(options, "bf16")


def load(options):
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.set_num_threads(options["threads"])
    return AutoModelForSequenceClassification.from_pretrained(options["model"], dtype=torch.float32).eval()


def make_eager(options):
    import torch

    model = load(options)

    def scores(batch):
        ids, mask = map(torch.from_numpy, padded(batch))
        with torch.inference_mode():
            return model(input_ids=ids, attention_mask=mask).logits.numpy()

    return scores


def export(options):
    """The model as an ONNX file, with any number of texts and tokens."""
    import torch

    path = os.path.join(options["model"], f"model-{os.getpid()}.onnx")
    ids, mask = map(torch.from_numpy, padded([[101, 102, 103], [101, 102]]))
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    names = ["input_ids", "attention_mask"]
    torch.onnx.export(
        load(options),
        kwargs={"input_ids": ids, "attention_mask": mask},
        f=path,
        input_names=names,
        output_names=["logits"],
        dynamic_shapes=dict.fromkeys(names, free),
        dynamo=True,
    )
    return path


def make_onnx(options):
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options["threads"]
    session = onnxruntime.InferenceSession(export(options), settings, providers=["CPUExecutionProvider"])

    def scores(batch):
        ids, mask = padded(batch)
        return session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]

    return scores


def make_openvino(options):
    import openvino

    settings = {"INFERENCE_NUM_THREADS": options["threads"], "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.compile_model(openvino.convert_model(export(options)), "CPU", settings)

    def scores(batch):
        ids, mask = padded(batch)
        return model({"input_ids": ids, "attention_mask": mask})["logits"]

    return scores


MAKE = {"ftc": make_ftc, "bf16": make_bf16, "eager": make_eager, "onnx": make_onnx, "openvino": make_openvino}


def main():
    with open(sys.argv[2], encoding="utf-8") as file:
        options = json.load(file)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options["threads"]])  # before any thread starts
    tell = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed
    scores = MAKE[sys.argv[1]](options)
    for line in sys.stdin:
        batches = [[options["ids"][text] for text in batch] for batch in json.loads(line)]
        start = time.perf_counter()
        first = [scores(batch) for batch in batches][0]
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        answer = {"seconds": seconds, "scores": first.tolist(), "peak_rss_bytes": peak}
        print(json.dumps(answer), file=tell, flush=True)


if __name__ == "__main__":
    main()
