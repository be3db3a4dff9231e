#!/usr/bin/env python3
"""Training in shards: one process and several, under each MPI that is here, come to the same bits, and to the same
answers; a process that dies, a signal and options that differ end all of them.

    distributed.py FTC MODEL.ir [--kills N] [--seed N]

Under each MPI, N times (2 unless set) a process of those that train is killed, whichever and whenever.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from checks import Checks, Ftc

# 37 examples in global batches of 4 * 3: of the last one, the last shards have nothing. Dropout is as the model says.
OPTIONS = ["--select-train", "37", "--select-test", "21", "--batch", "3", "--epochs", "3", "--max-grad-norm", "0.5"]
OPTIONS += ["--lr", "1e-3", "--eval-batch", "4", "--no-report", "--disable-progress"]
SHARDS = ["--shards", "4"]
# What is interrupted lasts ten times as long, so that it has not ended by then.
LONG = ["--epochs", "30"]


# Its state would be another one in each shard.
COUNTS = """model counts
axis B <= 8
axis S ragged B <= 128
axis V = 1660, C = 5
input ids : i32[B, S] in V from tokens
input label : i32[B] in C from label
count = param "count" f32[C] init zeros frozen
init normal(0.3)
logits = mean(embedding("words", ids; V -> C); S)
assign(count + 1, count) each micro_batch
output loss = mean(cross_entropy(logits, label; C); B) as loss, logits as scores over C
"""


# A row can make the loss of its own shard infinite, and of no other.
LINE = """model line
axis B <= 8
axis K = 64, L = K
input x : f32[B] from column "x"
input y : f32[B] from label
u = outer(x * param "u" f32[K])
v = tanh(linear("v", u; K -> L))
d = sum(v; L) + x - y
output loss = mean(d * d; B) as loss
"""


class Mpi:
    """One MPI's launcher; `name` is as in `mpirun.openmpi`."""

    def __init__(self, name, command, folder):
        self.launcher, self.command, self.folder = shutil.which(f"mpirun.{name}"), command, folder
        self.more = ["--oversubscribe", "--bind-to", "none"] if name == "openmpi" else []
        self.environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        # What MPI itself never frees is not ours to report.
        self.environment["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"

    def start(self, *groups, errors=subprocess.STDOUT):
        """Starts processes; each group is their number and their words. `errors` is where standard error goes."""
        words = [self.launcher, *self.more]
        for n, group in groups:
            words += [":"] * (words[-1] != self.launcher and len(words) > 1 + len(self.more))
            words += ["-np", str(n), self.command, *map(str, group)]
        return subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE,
                                stderr=errors, text=True)

    def run(self, *groups, errors=subprocess.STDOUT):
        """Their status and output. Where the launcher itself dies by a signal, as Open MPI 4.1's does now and then when
        two processes end it at once (in pmix_server_log_fn), they are started once more."""
        for _ in range(2):
            process = self.start(*groups, errors=errors)
            try:
                text, _ = process.communicate(timeout=120)
            except subprocess.TimeoutExpired:
                process.kill()
                return None, "it did not end"
            if process.returncode >= 0:
                break
            print(f"{self.launcher} died by signal {-process.returncode}:\n{text}", file=sys.stderr)
        return process.returncode, text


def losses(path):
    """The losses of steps and evaluations."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line.get("loss", line.get("eval_loss")) for line in lines if "loss" in line or "eval_loss" in line]


def same_files(a, b, steps=12):
    """Whether both hold the same model and optimizer state at the end, after so many steps."""
    return all((a / name).read_bytes() == (b / name).read_bytes()
               for name in ("model.safetensors", f"checkpoint-{steps}/optimizer.safetensors"))


def workers(launcher, command):
    """The processes that this launcher, perhaps through others of its own, has started of `command`."""
    parents, found = {}, []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if (entry / "cmdline").read_bytes().startswith(command.encode() + b"\0"):
                    found.append(int(entry.name))
        except OSError:
            pass  # it has just ended

    def is_below(process):
        while process in parents and process != launcher:
            process = parents[process]
        return process == launcher

    return [process for process in found if is_below(process)]


def wait_for_steps(path, n):
    """Waits until the metrics have so many lines; false after a while."""
    for _ in range(600):
        if path.exists() and len(path.read_text().splitlines()) >= n:
            return True
        time.sleep(0.02)
    return False


def check_faults(check, mpi, work, run):
    """What ends all processes, and that the run can be continued with another number of them."""
    mpi_name = pathlib.Path(mpi.launcher).name
    for what, number in (("SIGTERM to one of two", signal.SIGTERM), ("SIGKILL to one of two", signal.SIGKILL)):
        name = f"{mpi_name}-{number.name}"
        words = [*run, *SHARDS, *LONG, "--output", name, "--metrics", f"{name}.jsonl"]
        process = mpi.start((2, words))
        ready = wait_for_steps(work / f"{name}.jsonl", 6)  # the first epoch has been saved
        processes = workers(process.pid, mpi.command)
        check(f"{what}: two processes train", ready and len(processes) == 2)
        if processes:
            os.kill(max(processes), number)
        try:
            text, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            text = "it did not end"
        check(f"{what}: ended with {process.returncode}: {text[-500:]}", process.returncode not in (None, 0))
        if number == signal.SIGTERM:
            check(f"{what}: says how to continue: {text[-500:]}", "continue with --resume" in text)
        status, text = mpi.run((3, [*words, "--resume"]))
        check(f"{what}: three continue, status {status}: {text[-500:]}", status == 0)
        check(f"{what}: continued, other bits", status == 0 and same_files(work / "long", work / name, 120))

    for other, what in (
        (["--lr", "1"], "the learning rates"),
        (["--schedule", "cosine"], "the learning rates"),
        (["--eval-strategy", "steps", "--eval-steps", "2"], "when it evaluates, saves and ends"),
        (["--select-test", "20"], "the test data"),
        (["--resume-from-checkpoint", work / "alone" / "checkpoint-12"], "the weights or the checkpoint"),
    ):
        words = [*run, *SHARDS, "--output", f"{mpi_name}-differs", "--overwrite"]
        status, text = mpi.run((1, words), (1, [*words, *other]))
        check(f"{other} in one of two: status {status}: {text}",
              status == 2 and f"process 1 of 2 differs from the first one in {what}" in text)
    status, text = mpi.run((2, [*run, "--shards", "1", "--output", "x"]))
    check(f"one shard for two: status {status}: {text}", status == 2 and "--shards 1 for 2 processes" in text)


def check_alone_in_error(check, mpi, work):
    """One of three meets a loss that is not finite, when all have begun to exchange: all end, and it says why."""
    rows = [{"x": 1e30 if i == 40 else i / 48, "label": i / 24} for i in range(48)]
    (work / "line.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (work / "line.ir").write_text(LINE)
    words = ["run", "line.ir", "--train", "line.jsonl", "--batch", "8", "--sampling", "sequential", "--epochs", "1"]
    began = time.time()
    status, text = mpi.run((3, [*words, "--output", "line", "--overwrite", "--threads", "1"]))
    check(f"one infinite loss: status {status} after {time.time() - began:.0f} s: {text}",
          status == 1 and "step 2: the loss is inf" in text and time.time() - began < 60)


def check_kills(check, mpi, work, run, kills, draw):
    """A process is killed at any moment, again and again: all end, and the run can be continued to the same bits."""
    name, killed = pathlib.Path(mpi.launcher).name, 0
    while killed < kills:
        output = work / f"{name}-kills-{killed}"
        words, status = [*run, *SHARDS, *LONG, "--output", output.name], None
        while status != 0:
            began = any(path.name[11:].isdigit() for path in output.glob("checkpoint-*"))
            process = mpi.start((draw.choice((2, 3)), [*words, "--resume" if began else "--overwrite"]))
            moment, victims = draw.uniform(0, 3), []
            if killed < kills:
                time.sleep(moment)
                victims = workers(process.pid, mpi.command)
            if victims:
                os.kill(draw.choice(victims), signal.SIGKILL)
                killed += 1
            try:
                text, _ = process.communicate(timeout=30 if victims else 120)
            except subprocess.TimeoutExpired:
                process.kill()
                check(f"{name}: killed after {moment:.2f} s, number {killed}: the others did not end", False)
                return
            status = process.returncode
            if status != 0 and not victims:
                check(f"{name}: after {killed} kills the run does not go on: {text[-500:]}", False)
                return
        check(f"{name}: {killed} kills, other bits", same_files(work / "long", output, 120))


def check_wire(check, mpi, work, run):
    """Gradients that travel as bf16 are off by 2^-9 each at most: losses hardly differ, and again they are the same."""
    name = pathlib.Path(mpi.launcher).name
    for again in ("wire", "again"):
        words = [*run, *SHARDS, "--wire", "bf16", "--output", f"{name}-{again}", "--metrics", f"{name}-{again}.jsonl"]
        status, text = mpi.run((3, words))
        check(f"{name} --wire bf16: status {status}: {text}", status == 0)
    wide, narrow = (losses(work / f"{which}.jsonl") for which in ("alone", f"{name}-wire"))
    check(f"{name} --wire bf16: {wide}, {narrow}",
          wide != narrow and all(abs(a - b) <= 2e-3 * abs(a) for a, b in zip(wide, narrow)))
    check(f"{name} --wire bf16: other bits again", same_files(work / f"{name}-wire", work / f"{name}-again"))
    sent = [json.loads((work / f"{name}-{which}.jsonl").read_text().splitlines()[-1])["train_bytes_sent_per_step"]
            for which in ("3", "wire")]
    check(f"{name} --wire bf16: sends {sent}", 0.5 < sent[1] / sent[0] < 0.8)
    status, text = mpi.run((1, [*run, *SHARDS, "--output", "x"]), (1, [*run, *SHARDS, "--output", "x", "--wire", "bf16"]))
    check(f"two wires: status {status}: {text}", status == 2 and "differs from the first one in --wire" in text)


def check_answers(check, mpi, work, ftc, model):
    """Evaluation and predictions that processes share are those of one; an error in the data ends all."""
    texts, words = model.parent / "data/reviews-test.csv", model.parent.parent / "tests/golden/families/tokens"
    done = ftc("run", "--pretrained", words / "bert", "--train", words / "train.jsonl", "--output", "tags",
               "--max-steps", "2", "--no-report")
    check(f"tags: {done.stderr}", done.returncode == 0)
    for folder, test in (("alone", texts), ("tags", words / "test.jsonl")):
        for command in (["predict", folder, "--file", test, "--csv"], ["eval", folder, "--test", test, "--json"]):
            done = ftc(*command)
            status, text = mpi.run((3, command), errors=subprocess.DEVNULL)
            if command[0] == "eval" and status == 0:
                one, three = json.loads(done.stdout), json.loads(text)
                same = all(one[key] == three[key] for key in one if "runtime" not in key and "second" not in key)
            else:
                same = done.stdout == text
            check(f"{command[0]} {folder}: status {status}, other answers than one process: {text[:500]}",
                  done.returncode == 0 and status == 0 and same)
    (work / "bad.csv").write_text("text,label\ngood food\n")
    status, text = mpi.run((2, ["predict", "alone", "--file", "bad.csv"]))
    check(f"predict: bad row: status {status}: {text}", status == 2 and "bad.csv:2" in text)


def memory_of(text, what):
    """Moments' megabytes in the line of `ftc compile` that begins so; None: there is none."""
    for line in text.splitlines():
        if line.strip().startswith(what):
            return float(line.split(" moments ")[1].split(",")[0])
    return None


def check_moments(check, ftc, small):
    """Of parameters that are no tables, each of four processes has a fourth of the moments."""
    wide = ["--set", "hidden=256", "--set", "intermediate=512", "--set", "heads=4", "--set", "layers=1"]
    done = ftc("compile", *small, *wide, "--ranks", "4", "-o", "wide.ftc")
    one, four = (memory_of(done.stdout, what) for what in ("with accumulation", "in each of 4 processes"))
    # Two moments of four bytes for each of layers' and pooler's weights and of the positions'.
    shared = 2 * 4 * (4 * 256 * 256 + 2 * 256 * 512 + 256 * 256 + 128 * 256) / 1e6
    check(f"--ranks 4: {done.stderr}{done.stdout}", four and abs(one - four - 0.75 * shared) < 0.11)


def check_optimizers(check, mpi, work, ftc, model, small):
    """One whose state holds sums over rows, whose update nobody shares, and one without such sums."""
    for optimizer in ("adafactor", "sgd"):
        done = ftc("compile", model, *small, "--optim", optimizer, "-o", f"{optimizer}.ftc")
        check(f"ftc compile --optim {optimizer}: {done.stderr}", done.returncode == 0)
        words = ["run", f"{optimizer}.ftc", *OPTIONS, *SHARDS, "--threads", "1"]
        done = ftc(*words, "--output", f"{optimizer}-1")
        status, text = mpi.run((3, [*words, "--output", f"{optimizer}-3"]))
        check(f"{optimizer}: {done.stderr}{text}", done.returncode == 0 and status == 0)
        check(f"{optimizer}: other bits", status == 0 and same_files(work / f"{optimizer}-1", work / f"{optimizer}-3"))


def check_rounds(check, mpi, work, run):
    """Of seven shards, two and three processes hold several subtrees each, which they send in rounds."""
    name, words = pathlib.Path(mpi.launcher).name, [*run, "--shards", "7", "--batch", "2"]
    for n in (2, 3):
        status, text = mpi.run((n, [*words, "--output", f"{name}-seven-{n}"]))
        check(f"{name} -np {n} --shards 7: status {status}: {text}", status == 0)
        check(f"{name} -np {n} --shards 7: other bits than one process",
              status == 0 and same_files(work / "seven", work / f"{name}-seven-{n}", 9))


def check_exchange(check, mpi, work, run):
    """What a run and `ftc bench` tell of the exchange."""
    name = pathlib.Path(mpi.launcher).name
    end = json.loads((work / f"{name}-3.jsonl").read_text().splitlines()[-1])
    check(f"{name}: the exchange in {end}", end["train_bytes_sent_per_step"] > 0 and
          end["train_exchange_seconds_per_step"] > 0 and 0 <= end["train_exchange_hidden"] <= 1)
    told = [word for word in run if word != "--no-report"]
    status, text = mpi.run((2, [*told, "--output", f"{name}-told"]))
    report = work / f"{name}-told" / "report.html"
    check(f"{name}: report of two: status {status}: {text}",
          status == 0 and "each of 2 processes exchanges gradients" in report.read_text())
    words = ["bench", "small.ftc", "--steps", "4", "--threads", "1"]
    status, text = mpi.run((2, [*words, "--json"]), errors=subprocess.DEVNULL)
    check(f"{name}: bench: status {status}: {text}", status == 0)
    if status == 0:
        told = json.loads(text)
        check(f"{name}: bench: {told}", told["processes"] == 2 and told["bytes_sent"] > 0 and
              0 < told["exchange_ms"] and 0 <= told["exchange_hidden"] <= 1 and told["step_ms_min"] > 0)
    status, text = mpi.run((2, ["bench", "small.ftc", "small.ftc"]))
    check(f"{name}: bench of two models: status {status}: {text}",
          status == 2 and "several processes time the steps of one model" in text)


def check_mpi(checks, mpi, work, run, kills, draw):
    check, name = checks.that, pathlib.Path(mpi.launcher).name
    for n in (2, 3):
        words = [*run, *SHARDS, "--output", f"{name}-{n}", "--metrics", f"{name}-{n}.jsonl"]
        words += ["--early-stopping-threshold", "0.1", "--momentum", "0.5", "--mlm-probability", "0.2"]  # that nothing reads
        status, text = mpi.run((n, words))
        check(f"{name} -np {n}: status {status}:\n{text}", status == 0)
        if status != 0:
            return
        check(f"{name} -np {n}: other bits than one process", same_files(work / "alone", work / f"{name}-{n}"))
        same = losses(work / "alone.jsonl") == losses(work / f"{name}-{n}.jsonl")
        check(f"{name} -np {n}: other losses than one process", same)
        told = [text.count(note) for note in ("weights: random", "threshold changes nothing", "momentum 0.5 changes nothing",
                                              "probability changes nothing")]
        check(f"{name} -np {n}: the first one alone tells: {told} of {text}", told == [1, 1, 1, 1])
    status, text = mpi.run((2, [*run, "--output", f"{name}-default", "--metrics", f"{name}-default.jsonl"]))
    check(f"{name}: one shard a process: {text}", status == 0)
    two = losses(work / f"{name}-default.jsonl")
    check(f"{name}: one shard a process, {len(two)} losses", len(two) == 3 * 7 + 3)  # of 2 * 3 examples
    check_faults(check, mpi, work, run)
    check_alone_in_error(check, mpi, work)
    check_kills(check, mpi, work, run, kills, draw)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ftc", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    checks = Checks()
    check = checks.that
    command, model = str(options.ftc.resolve()), options.model.resolve()
    print(f"--seed {options.seed}")
    with tempfile.TemporaryDirectory() as folder:
        work, ftc = pathlib.Path(folder), Ftc(command, folder)
        small = ["--set", "hidden=32", "--set", "intermediate=64", "--set", "layers=1"]
        done = ftc("compile", model, *small, "-o", "small.ftc")
        check(f"ftc compile: {done.stderr}", done.returncode == 0)
        run = ["run", "small.ftc", *OPTIONS, "--threads", "1"]
        for name, words in {"alone": SHARDS, "whole": ["--batch", "12"], "threads": [*SHARDS, "--threads", "2"],
                            "long": [*SHARDS, *LONG], "seven": ["--shards", "7", "--batch", "2"]}.items():
            done = ftc(*run, *words, "--output", name, "--metrics", f"{name}.jsonl")
            check(f"{name}: status {done.returncode}: {done.stderr}", done.returncode == 0)
        if checks.failed:
            return checks.end()
        shards, whole = losses(work / "alone.jsonl"), losses(work / "whole.jsonl")
        check(f"{len(shards)} losses", len(shards) == 3 * 4 + 3)
        check("shards are a whole batch but for rounding, dropout included",
              len(shards) == len(whole) and all(abs(a - b) <= 1e-5 * abs(b) for a, b in zip(shards, whole)))
        check("two threads, other bits", same_files(work / "alone", work / "threads"))
        (work / "counts.ir").write_text(COUNTS)
        data = ["--train", model.parent / "data/reviews-train.csv", "--tokenizer", model.parent / "data/tokenizer"]
        done = ftc("run", "counts.ir", *data, *SHARDS, "--output", "counts")
        check(f"state by micro-batch: status {done.returncode}: {done.stderr}",
              done.returncode == 2 and '"count" each micro-batch' in done.stderr)
        check_moments(check, ftc, [model])
        for name in ("openmpi", "mpich"):
            mpi = Mpi(name, command, work)
            if not mpi.launcher or not pathlib.Path(command).with_name(f"ftc-{name}.so").exists():
                checks.skip(f"no {name} (./dev setup --mpi)")
            else:
                check_mpi(checks, mpi, work, run, options.kills, random.Random(options.seed))
                check_rounds(check, mpi, work, run)
                check_exchange(check, mpi, work, run)
                check_wire(check, mpi, work, run)
                check_answers(check, mpi, work, ftc, model)
                if name == "openmpi":
                    check_optimizers(check, mpi, work, ftc, model, small)
    return checks.end()


if __name__ == "__main__":
    sys.exit(main())
