"""What scripts share that measure ftc: models, texts, commands that run to their end, alone or as ranks under MPI."""

import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
TOKENIZER = ROOT / "models/data/tokenizer"

MINILM = {"hidden": 384, "layers": 6, "heads": 12, "intermediate": 1536}
BASE = {"hidden": 768, "layers": 12, "heads": 12, "intermediate": 3072}
VOCAB, POSITIONS = 30522, 512
WORKLOADS = {
    "minilm-128": {"shape": MINILM, "length": 128},
    "minilm-512": {"shape": MINILM, "length": 512},
    "base-128": {"shape": BASE, "length": 128},
    "base-512": {"shape": BASE, "length": 512},
}


# What holds the peers to the instructions of a target: PyTorch, MKL, oneDNN, XLA.
INSTRUCTIONS = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    },
    "generic": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
    },
}


class Failure(Exception):
    """A contender that cannot be measured, with the reason."""


def last_line(text):
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message"


def reason_in(text):
    """The first error that is told, which launchers and tracebacks surround; else the last line."""
    errors = [line.strip() for line in text.splitlines() if "error: " in line]
    return errors[0] if errors else last_line(text)


def run_ftc(ftc, *arguments):
    command = [ftc, *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"`{' '.join(command)}` ended with status {done.returncode}: {last_line(done.stderr)}")
    return done.stdout


def compile_bert(ftc, shape, batch, length, artifact, *options):
    """Compiles BERT with random weights; what `ftc compile` prints."""
    words = ["compile", ROOT / "models/bert-cls.ir", "-o", artifact, "--batch", batch, "--max-length", length]
    for name, value in {"vocab": VOCAB, "positions": POSITIONS, **shape}.items():
        words += ["--set", f"{name}={value}"]
    return run_ftc(ftc, *words, *options)


def run_job(command):
    """Runs a command to its end; returns its wall time and the most memory that it, or one that it started, held."""
    with tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(c) for c in command], stdout=subprocess.DEVNULL, stderr=errors, env=mpi_environment()
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        if status:
            told = f"`{command[0]} {command[1]}` ended with status {process.returncode}"
            raise Failure(f"{told}: {reason_in(errors.read())}")
    return {"seconds": seconds, "peak_rss_bytes": usage.ru_maxrss * 1024}


def mpi_environment():
    """Open MPI refuses root, whom containers have, unless told twice."""
    more = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"} if os.geteuid() == 0 else {}
    return {**os.environ, **more}


def mpirun(launcher, ranks, threads):
    """The words that start so many ranks on this machine, each with as many cores as it has threads."""
    path = shutil.which(launcher)
    if not path:
        raise Failure(f"no {launcher} here, which --ranks needs: ./dev setup --mpi installs it, --mpirun names another")
    told = subprocess.run([path, "--version"], check=False, capture_output=True, text=True).stdout
    if "Open MPI" in told or "OpenRTE" in told:
        return [path, "--map-by", f"slot:PE={threads}", "--bind-to", "core", "-np", ranks]
    return [path, "-bind-to", f"core:{threads}", "-np", ranks]


def write_texts(path, rows, words):
    """Texts of so many words, each a token, drawn at random from those of a tokenizer; the same texts always.

    Returns from how many."""
    draw = random.Random(1)
    vocabulary = [word for word in (TOKENIZER / "vocab.txt").read_text().split() if word.isalpha() and len(word) > 1]
    with open(path, "w", encoding="utf-8") as file:
        file.write("label,text\n")
        for i in range(rows):
            file.write(f"{i % 5},{' '.join(draw.choices(vocabulary, k=words))}\n")
    return len(vocabulary)


def train(command, artifact, texts, length, scratch, warmup):
    """Trains by `command`, which ends in `ftc run` and its options but for these, on texts of up to `length` tokens, whatever
    their tokenizer would cut them to; what it says of its steps."""
    metrics, output = (os.path.join(scratch, name) for name in ("steps.jsonl", "trained"))
    words = [
        artifact,
        "--train",
        texts,
        "--max-length",
        length,
        "--no-shuffle",
        "--eval-strategy",
        "no",
        "--save-strategy",
        "no",
        "--no-report",
    ]
    words += ["--disable-progress", "--overwrite", "--logging-steps", 1, "--metrics", metrics, "--output", output]
    job = run_job([*command, *words])
    with open(metrics, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    times = [1e3 * line["step_time"] for line in lines if "step_time" in line][warmup:]
    return {
        "step_ms_min": min(times),
        "step_ms_median": statistics.median(times),
        "peak_rss_bytes": job["peak_rss_bytes"],
        "bytes_sent": lines[-1].get("train_bytes_sent_per_step"),
        "exchange_hidden": lines[-1].get("train_exchange_hidden"),  # the first step's is not, and counts, too
    }
