#!/usr/bin/env python3
"""A training writes event files for TensorBoard: framed with right checksums, under the tags of transformers'
TensorBoardCallback, with the values of the metrics' lines; a resumed run adds a file of its own. Read by a reader of
this test's own and, where the package `tensorboard` is installed, by that.

    event_files.py FTC MODEL.ir
"""

import json
import os
import pathlib
import re
import socket
import struct
import sys
import tempfile

from checks import Checks, Ftc

# What Trainer logs of a classification; ftc has further ones.
TAGS = {
    "train/loss", "train/grad_norm", "train/learning_rate", "train/epoch", "train/train_runtime", "train/train_loss",
    "train/train_samples_per_second", "train/train_steps_per_second", "eval/loss", "eval/accuracy", "eval/runtime",
    "eval/samples_per_second", "eval/steps_per_second",
}  # fmt: skip
TEXTS = {"args/text_summary", "model_config/text_summary"}


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(data):
    at = 0
    while at < len(data):
        length, crc = struct.unpack_from("<QI", data, at)
        assert crc == masked(data[at : at + 8]), f"the checksum of the length at {at}"
        record = data[at + 12 : at + 12 + length]
        assert struct.unpack_from("<I", data, at + 12 + length) == (masked(record),), f"the checksum at {at + 12}"
        yield record
        at += 16 + length


def fields(message):
    """Number and value of each field: integers, 4 or 8 bytes, or the bytes of a text or message."""

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    at = 0
    while at < len(message):
        key = varint()
        size = {0: None, 1: 8, 5: 4}.get(key & 7)
        if key & 7 == 2:
            size = varint()
        if size is None:
            yield key >> 3, varint()
        else:
            yield key >> 3, message[at : at + size]
            at += size
    assert at == len(message), "a field ends behind its message"


def read(path):
    """The scalars of a file, {tag: [(step, value), …]}, and its texts, {tag: text}."""
    scalars, texts, version = {}, {}, None
    for number, record in enumerate(records(path.read_bytes())):
        event = dict(fields(record))
        assert 1.7e9 < struct.unpack("<d", event[1])[0] < 1e11, "the wall time"
        if number == 0:
            version = event[3]
        for _, value in fields(event.get(5, b"")):
            value = dict(fields(value))
            tag = value[1].decode()
            if 2 in value:
                scalars.setdefault(tag, []).append((event.get(2, 0), struct.unpack("<f", value[2])[0]))
                continue
            tensor = dict(fields(value[8]))
            assert tensor[1] == 7 and tensor[2] == b"\x12\x02\x08\x01", "type and shape of a text"
            assert dict(fields(dict(fields(value[9]))[1])) == {1: b"text"}, "the plugin of a text"
            texts[tag] = tensor[8].decode()
    assert version == b"brain.Event:2", "the version"
    return scalars, texts


def expected(lines):
    """The scalars of the metrics' lines, as the callback names them."""
    scalars = {}
    for line in lines:
        for name, value in line.items():
            tag = "eval/" + name[5:] if name.startswith("eval_") else "train/" + name
            if name != "step":
                scalars.setdefault(tag, []).append((line["step"], value))
    return scalars


def same(a, b):
    def close(x, y):
        return x[0] == y[0] and abs(x[1] - y[1]) <= 1e-6 * abs(y[1])  # a float, a number of nine digits

    return a.keys() == b.keys() and all(len(a[tag]) == len(b[tag]) and all(map(close, a[tag], b[tag])) for tag in a)


def by_tensorboard(path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    text = {tag: make_ndarray(events.Tensors(tag)[0].tensor_proto)[0].decode() for tag in events.Tags()["tensors"]}
    return scalars, text


def check_folders(checks, ftc, run):
    # A run that fails leaves its folder to the next one, with or without event files of its own.
    for words in (["--report-to", "tensorboard", "--lr", "1e30"], ["--report-to", "tensorboard"], []):
        done = ftc(*run, "--output", "again", *words)
        checks.that(f"{words} in a folder with runs/: {done.stderr}", done.returncode == ("1e30" in words))
    for _ in range(2):
        done = ftc(*run, "--output", "own", "--logging-dir", "own/events", "--report-to", "all")
        checks.that(f"event files in a folder of its own: {done.stderr}", done.returncode == 0)
    checks.that("the second run has no file of its own", len(list(pathlib.Path(ftc.folder, "own/events").iterdir())) == 2)


def main():
    checks = Checks("event files")
    with tempfile.TemporaryDirectory() as work:
        ftc = Ftc(sys.argv[1], work)
        os.environ.pop("TENSORBOARD_LOGGING_DIR", None)
        small = ["--set", "hidden=32", "--set", "intermediate=64", "--set", "layers=1"]
        run = ["run", pathlib.Path(sys.argv[2]).resolve(), *small, "--select-train", "40", "--select-test", "20"]
        run += ["--max-steps", "4"]
        fields_ = {"output_dir": "out", "max_steps": 8, "logging_steps": 2, "eval_strategy": "steps", "save_steps": 4}
        fields_ |= {"report_to": ["tensorboard", "wandb"], "learning_rate": 1e-3, "save_strategy": "steps"}
        pathlib.Path(work, "args.json").write_text(json.dumps(fields_))
        done = ftc(*run[:-2], "--args", "args.json")
        checks.that(f"ftc run ended with status {done.returncode}:\n{done.stderr}", done.returncode == 0)
        checks.that("wandb is not named as ignored", "report_to wandb" in done.stderr)
        paths = list(pathlib.Path(work, "out/runs").glob("*/*"))
        checks.that(f"one file, not {paths}", len(paths) == 1)
        host = re.escape(socket.gethostname())
        names = rf"[A-Z][a-z]{{2}}\d\d_\d\d-\d\d-\d\d_{host}/events\.out\.tfevents\.\d{{10}}\.{host}\.\d+\.0"
        path = str(paths[0].relative_to(pathlib.Path(work, "out/runs")))
        checks.that(f"the file is called {path}", re.fullmatch(names, path))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        scalars, texts = read(paths[0])
        checks.that(f"lacks {TAGS - scalars.keys()}", TAGS <= scalars.keys())
        checks.that("other values than in the metrics", same(scalars, expected(lines)))
        checks.that(f"texts {texts.keys()}", texts.keys() == TEXTS)
        args, config = (json.loads(texts[tag]) for tag in sorted(TEXTS))
        checks.that(f"other arguments: {args}", args["learning_rate"] == 1e-3 and args["report_to"] == "tensorboard")
        checks.that("what nobody has set is not null", args["data_seed"] is None and args["max_steps"] == 8)
        saved = json.loads(pathlib.Path(work, "out/config.json").read_text())
        checks.that("another configuration than the saved one", config == saved)
        try:
            checks.that("tensorboard reads something else", by_tensorboard(paths[0]) == (scalars, texts))
        except ImportError:
            checks.skip("no package tensorboard here; read by the test's own reader alone")

        done = ftc(*run[:-2], "--args", "args.json", "--resume-from-checkpoint", "out/checkpoint-4")
        checks.that(f"the resumed run ended with status {done.returncode}:\n{done.stderr}", done.returncode == 0)
        files = sorted(pathlib.Path(work, "out/runs").glob("*/*"), key=lambda path: path.stat().st_mtime)
        checks.that(f"a file of the resumed run's own: {files}", len(files) == 2 and read(files[0]) == (scalars, texts))
        steps = [step for step, _ in read(files[-1])[0]["train/loss"]]
        checks.that(f"the resumed run has steps {steps}", steps == [6, 8])
        check_folders(checks, ftc, run)
    return checks.end()


if __name__ == "__main__":
    sys.exit(main())
