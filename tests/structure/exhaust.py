#!/usr/bin/env python3
"""Memory runs out: at each allocation of `ftc compile`, `ftc run`, `ftc predict` and a program over libftc in turn.

An interposer (tests/exhaust.c) fails the N-th allocation, once or from then on. Each attempt ends with status 0, when
it could do without, or with status 2 and a message: by no signal, and not silently. What lies in the folder afterwards
is what a whole run writes, file by file, or nothing. After an error the program tries everything again; where memory was
short once, that must go well.

    exhaust.py FTC API_PROGRAM EXHAUST.so TOKENIZER_DIR [OWN LLVM]

OWN and LLVM: one in so many allocations of our own code (and of the C libraries that it calls), and of LLVM's, is
tried. Without them so many are that it takes some twenty seconds.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from checks import Checks

MODEL = """model tiny
config { labels = 2 "num_labels"  batch = 4  max_length = 8 }
axis B <= batch
axis S ragged B <= max_length
axis V = 1660, H = 4, C = labels
input ids : i32[B, S] in V from tokens
input class : i32[B] in C from label
init normal(0.1)
logits = linear("classifier", mean(gather(param "table" f32[V, H], V, ids); S); H -> C)
output logits as scores over C
output loss = mean(cross_entropy(logits, class; C); B) as loss
train { optimizer = sgd  lr = 0.01 }
"""
ROWS = "text,label\n" + "".join(f"a wonderful soup {i},{i % 2}\n" for i in range(8))

QUICK = {"own": 25, "llvm": 4}  # allocations that are tried, for each command, without OWN and LLVM
SECONDS = 120  # an attempt that takes longer hangs


def digest(folder):
    """The files of a folder by their names, and what is in those in which two runs write the same."""
    found = {}
    for path in sorted(folder.rglob("*")):
        same = path.suffix in (".safetensors", ".txt") or path.name in ("config.json", "tokenizer.json")
        if path.is_file():
            content = path.read_bytes() if same else b""
            found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


def checkpoints_of(files):
    """The names of the files in each checkpoint."""
    found = {}
    for path in files:
        parts = path.split("/", 2)
        if len(parts) == 3 and parts[1].startswith("checkpoint-"):
            found.setdefault(parts[1], set()).add(parts[2])
    return found


class Command:
    """One command that is tried again and again, in folders of its own."""

    def __init__(self, name, words, inputs, exhaust, recovers=False):
        self.name, self.words, self.inputs, self.exhaust = name, words, inputs, exhaust
        self.recovers = recovers  # from memory that is short once
        self.whole = None

    def run(self, **environment):
        """The status, what was printed on standard error, and the files that were written."""
        with tempfile.TemporaryDirectory(prefix="exhaust-") as name:
            folder = pathlib.Path(name)
            for path in self.inputs:
                copy = shutil.copytree if path.is_dir() else shutil.copy
                copy(path, folder / path.name)
            before = set(digest(folder))
            variables = os.environ | {"LD_PRELOAD": self.exhaust} | environment
            try:
                done = subprocess.run(
                    self.words, cwd=folder, env=variables, check=False, capture_output=True, timeout=SECONDS
                )
                status, message = done.returncode, done.stderr
            except subprocess.TimeoutExpired:
                status, message = "none, it hangs", b""
            files = digest(folder)
            return status, message, {path: files[path] for path in files if path not in before}

    def count(self, scratch):
        """How many allocations there are of either kind, when none fails."""
        counts = scratch / "counts"
        status, message, self.whole = self.run(FTC_EXHAUST_COUNT=str(counts))
        if status != 0:
            sys.exit(f"{self.name}: status {status}: {message.decode()}")
        return dict(zip(QUICK, map(int, counts.read_text().split())))

    def attempt(self, spec):
        """What is wrong with an attempt in which an allocation fails; None: nothing."""
        status, message, files = self.run(FTC_EXHAUST=spec)
        fault = self.wrong_end(spec, status, message) or self.wrong_files(status, files)
        return fault and f"{self.name} {spec}: status {status}, {fault}"

    def wrong_end(self, spec, status, message):
        if isinstance(status, int) and status < 0:
            return f"{signal.Signals(-status).name}: {message[-300:]!r}"
        if status not in (0, 2):
            return f"{message[-300:]!r}"
        if status == 2 and not message.strip():
            return "no message"
        if status and self.recovers and spec.startswith("own") and not spec.endswith("+"):
            return f"when there was memory again: {message[-300:]!r}"
        return None

    def wrong_files(self, status, files):
        if status == 0 and set(self.whole) - set(files):
            return f"{sorted(set(self.whole) - set(files))} are missing"
        if status == 2 and set(files) == {"out/.ftc-run"}:
            return "a folder without a result stays"
        whole = next(iter(checkpoints_of(self.whole).values()), None)
        checkpoints = checkpoints_of(files)
        for checkpoint, names in checkpoints.items():
            if names != whole:
                return f"{checkpoint} has {sorted(names)}"
        for path, content in files.items():
            if path.split("/")[1:2] and path.split("/")[1] in checkpoints:
                continue
            if self.whole.get(path) != content:
                return f"{path} is left behind, or another"
        return None


def main():
    ftc, program, exhaust, tokenizer = (str(pathlib.Path(path).resolve()) for path in sys.argv[1:5])
    steps = dict(zip(QUICK, map(int, sys.argv[5:7])))
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="exhaust-") as name:
        scratch = pathlib.Path(name)
        model, artifact, rows = scratch / "tiny.ir", scratch / "tiny.ftc", scratch / "rows.csv"
        model.write_text(MODEL, encoding="utf-8")
        rows.write_text(ROWS, encoding="utf-8")
        train = [ftc, "run", artifact.name, "--train", rows.name, "--tokenizer", tokenizer, "--max-steps", "3"]
        train += ["--threads", "2", "--cache", "cache", "--output", "out"]
        for words in [ftc, "compile", model.name], train:
            subprocess.run(words, cwd=scratch, check=True, capture_output=True)
        commands = [
            Command("ftc compile", [ftc, "compile", model.name], [model], exhaust),
            Command("ftc run", train, [artifact, rows], exhaust),
            Command("ftc predict", [ftc, "predict", "out", "a soup"], [scratch / "out"], exhaust),
            Command("libftc", [program, artifact.name, tokenizer, "out"], [artifact], exhaust, recovers=True),
        ]
        for command in commands:
            counts = command.count(scratch)
            first = 1
            if command.recovers:  # before `main`, where libraries set themselves up, the program has no handler
                del counts["llvm"]
                variables = os.environ | {"LD_PRELOAD": exhaust, "FTC_EXHAUST_COUNT": str(scratch / "counts")}
                subprocess.run([program], env=variables, check=False, capture_output=True)
                first = int((scratch / "counts").read_text().split()[0]) + 1
            attempts = [
                f"{kind}:{at}{way}"
                for kind, n in counts.items()
                for at in range(first, n + 1, steps.get(kind, max(1, n // QUICK[kind])))
                for way in ("", "+")
            ]
            with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
                for fault in pool.map(command.attempt, attempts):
                    checks.that(fault, fault is None)
            print(f"{command.name}: {counts} allocations, {len(attempts)} attempts", flush=True)
    return checks.end()


if __name__ == "__main__":
    sys.exit(main())
