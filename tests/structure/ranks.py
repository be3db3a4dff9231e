#!/usr/bin/env python3
"""What is measured and predicted of several ranks: bench/cost's formula beside values by hand, what it says of bytes
beside what ranks send, bench/compare --ranks on a small batch, what that refuses, and the link of bench/network.py.

    ranks.py FTC SOURCE_ROOT
"""

import importlib.machinery
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from checks import Checks, Ftc

SMALL = ["--set", "hidden=128", "--set", "intermediate=512", "--set", "layers=2", "--set", "vocab=30522"]


def load(path):
    """A script without .py as a module."""
    sys.path.insert(0, str(path.parent))
    loader = importlib.machinery.SourceFileLoader(path.name, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(path.name, loader))
    sys.modules[path.name] = module
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


def near(a, b):
    return abs(a - b) <= 1e-12 * abs(b)


def check_formula(check, cost):
    # Two tokens of two rows: both name the same one half of the time.
    check("named rows", near(cost.named_rows(2, 2), 1.5) and near(cost.named_rows(30522, 1), 1))
    model = cost.Model(dense_bytes=8e6, tables=[(2, 1e6)], tokens=1, step=1, backward=0.5)
    check("rows of tables", near(cost.table_bytes(model, 2), 1.5e6))
    check("sent by one of two", near(cost.sent_bytes(model, 2), 9.5e6))
    check("sent as bf16", near(cost.sent_bytes(model, 2, "bf16"), 7.125e6))
    model.words = 1
    check("a language of one word", near(cost.table_bytes(model, 2), 1e6))
    # 7 / 8 of 64 MiB in sixteen calls, and of 8 MiB of a table's row in one, of seven messages each.
    model = cost.Model(dense_bytes=64 << 20, tables=[(1, 8 << 20)], tokens=1, step=1, backward=3)
    link = cost.Link(bits_per_second=64 << 20, latency=0.01)
    dense, tables = 16 * 7 * 0.01 + 7, 7 * 0.01 + 7 / 8
    found = cost.exchange_seconds(model, 8, link)
    check(f"parts of an exchange: {found}", all(map(near, found, (16, dense, dense, 2 * tables))))
    apart = 2 * (dense + tables)
    check("nothing hidden", near(cost.efficiency(model, 8, link, hides=False), 1 / (1 + apart)))
    check("three seconds hidden", near(cost.efficiency(model, 8, link), 1 / (1 + apart - 3)))
    model.forward = 2
    check("five seconds hidden", near(cost.efficiency(model, 8, link), 1 / (1 + apart - 5)))
    model.forward = model.backward = 100
    check("all but two calls hidden", near(cost.exposed_seconds(model, 8, link), 2 * dense / 16 + 2 * tables))
    halves = cost.exchange_seconds(model, 8, link, "bf16")
    check(f"as bf16: {halves}", near(halves[1], 1.12 + 3.5) and near(halves[2], found[2]))
    # A small model has eight calls.
    small = cost.Model(dense_bytes=1e6, tables=[], tokens=1, step=1)
    far = cost.Link(bits_per_second=1e30, latency=1)
    check("calls of a small model", near(cost.exchange_seconds(small, 512, far)[1], 8 * 511))


def check_bytes(check, cost, ftc, root, work):
    """What is said of two ranks is what two ranks send, but that one may have a row more than the other."""
    jobs, artifact = cost.jobs, work / "small.ftc"
    done = ftc("compile", root / "models/bert-cls.ir", *SMALL, "--ranks", "2", "-o", artifact)
    check(f"ftc compile --ranks: {done.stderr}", done.returncode == 0)
    dense, tables = cost.read_traffic(done.stdout)
    check(f"tables: {tables}", tables == [(30522, 512.0), (2, 512.0)])
    command = [*jobs.mpirun("mpirun", 2, 1), ftc.path, "run", "--batch", 4, "--max-steps", 3, "--threads", 1]
    words = jobs.write_texts(work / "texts.csv", 24, 30)
    told = jobs.train(command, artifact, work / "texts.csv", 32, work, 1)
    model = cost.Model(dense, tables, tokens=4 * 30, words=words)
    sent = cost.sent_bytes(model, 2)
    check(f"two ranks send {told['bytes_sent']}, said to be {sent}", abs(told["bytes_sent"] / sent - 1) < 0.03)


def check_compare(check, ftc, root, work):
    """Each contender but PyTorch's, which need not be here, has its row; nothing that it cannot do is begun."""

    def compare(*words):
        command = [sys.executable, root / "bench/compare", "--ftc", ftc.path, "--python", "none", "--out", work, *words]
        return subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, timeout=300)

    for words, why in (
        (
            ["--ranks", 2, "--mpirun", "no-such-mpirun"],
            "no no-such-mpirun here, which --ranks needs: ./dev setup --mpi",
        ),
        (["--ranks", 1], "--ranks 1: from 2 to the"),
        (["--ranks", 2, "--workloads", "distilbert-128"], "which distilbert-128 is not"),
    ):
        done = compare("--threads", 2, *words)
        check(f"{words}: status {done.returncode}: {done.stderr}", done.returncode == 2 and why in done.stderr)
    if not shutil.which("mpirun"):
        return
    small = ["--workloads", "minilm-128", "--batch", 1, "--rounds", 1, "--steps", 2, "--threads", 2]
    done = compare("--ranks", 2, *small, "--contenders", "whole,shards,ranks,ddp,jax")
    told = [line for line in done.stderr.splitlines() if "takes no part" in line]
    check(f"contenders of --ranks: {done.stderr}", len(told) == 1 and ": JAX takes no part: there are whole, " in told[0])
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| minilm-128")]
    check(f"rows of bench/compare --ranks: {done.stdout}{done.stderr}", len(rows) == 4)
    if len(rows) == 4:
        check(f"efficiency and bytes: {rows[2]}", float(rows[2][4]) > 0 and rows[2][6].endswith(" MB"))
        check(f"PyTorch, which is not here: {rows[3]}", rows[3][2].startswith("not measured"))


def check_network(checks, root):
    """Two processes on a link; a command that fails; nothing is left of either."""
    network = [sys.executable, str(root / "bench/network.py"), "--rate", "1", "--", "sh", "-c"]

    def links():
        return subprocess.run(["ip", "-o", "link"], check=False, capture_output=True, text=True).stdout.count("\n")

    if os.geteuid() != 0 or not shutil.which("mpirun.openmpi") or not shutil.which("ip"):
        checks.skip("bench/network.py takes root, iproute2 and Open MPI")
        return
    before = links()
    done = subprocess.run(
        [*network, "ip -o addr show dev wire"], check=False, capture_output=True, text=True, timeout=120
    )
    if "namespace" in done.stderr:
        checks.skip(f"no network namespaces here: {done.stderr}")
        return
    check = checks.that
    both = all(f"10.119.7.{side}/" in done.stdout for side in (1, 2))
    check(f"two namespaces: status {done.returncode}: {done.stdout}{done.stderr}", done.returncode == 0 and both)
    check(f"what the link comes to: {done.stderr}", "asked 1 Gb/s and 0.1 ms, come to " in done.stderr)
    done = subprocess.run([*network, "exit 3"], check=False, capture_output=True, text=True, timeout=120)
    check(f"a command that fails: status {done.returncode}", done.returncode == 3)
    check("links that are left", links() == before)


def main():
    ftc_path, root = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    checks, cost = Checks(), load(root / "bench/cost")
    with tempfile.TemporaryDirectory() as folder:
        work, ftc = pathlib.Path(folder), Ftc(ftc_path, folder)
        check_formula(checks.that, cost)
        if not shutil.which("mpirun") or len(os.sched_getaffinity(0)) < 2:
            checks.skip("no mpirun (./dev setup --mpi), or one processor alone")
        else:
            check_bytes(checks.that, cost, ftc, root, work)
        check_compare(checks.that, ftc, root, work)
        check_network(checks, root)
    return checks.end()


if __name__ == "__main__":
    sys.exit(main())
