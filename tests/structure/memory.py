#!/usr/bin/env python3
"""The memory that `ftc compile` prints is what the process takes: its peak beside that of a tiny model's process.

A model of which the arena is the most is compiled with and without a budget, and called with batches that are as large as
can be: by `ftc bench`, also on more threads, and by `ftc run`, with the update in the step and behind clipping.

    memory.py FTC MODEL.ir
"""

import json
import os
import pathlib
import re
import sys
import tempfile

from checks import Checks

# Megabytes that a process may take more or less than another beside what is printed: texts, labels, huge pages that
# are only used in part.
TOLERANCE = 5

TINY = {"hidden": 32, "intermediate": 64, "layers": 1, "batch": 2, "max_length": 16}
LARGE = {"hidden": 128, "intermediate": 512, "layers": 3, "batch": 16, "max_length": 256, "positions": 256}
MORE_THREADS = 12


def main():
    ftc, model = (str(pathlib.Path(path).resolve()) for path in sys.argv[1:3])
    tokenizer = str(pathlib.Path(model).parent / "data/tokenizer")
    checks = Checks()

    def run(*words):
        """The exit status, what was printed, and the most megabytes that were resident."""
        with open("out", "w", encoding="utf-8") as out, open("err", "w", encoding="utf-8") as err:
            actions = [(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, err.fileno(), 2)]
            pid = os.posix_spawn(ftc, [ftc, *words], os.environ, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        text = pathlib.Path("out").read_text(encoding="utf-8")
        checks.that(f"ftc {' '.join(words)}: {pathlib.Path('err').read_text(encoding='utf-8')}", status == 0)
        return text, usage.ru_maxrss * 1024 / 1e6

    def compiled(sizes, *options):
        """The megabytes that are printed: for a step, for accumulation or clipping, and a thread's scratch."""
        settings = [word for name, value in sizes.items() for word in ("--set", f"{name}={value}")]
        text, _ = run("compile", model, *settings, *options, "-o", "model.ftc")
        found = re.search(
            r"  memory ([0-9.]+) MB: .* scratch (\d+) x ([0-9.]+)\n  with [a-z ]+ ([0-9.]+) MB: ", text
        )
        step, threads, scratch, clipped = found.groups()
        return float(step), float(clipped), float(scratch), int(threads)

    def taken(sizes, *options):
        """What each process takes at most, and what was printed for it."""
        step, clipped, scratch, threads = compiled(sizes, *options)
        words = " wonderful food" * sizes["max_length"]
        rows = "".join(f"{words},{1 + i % 5}\n" for i in range(sizes["batch"]))
        pathlib.Path("texts.csv").write_text("text,stars\n" + rows, encoding="utf-8")
        bench = ["bench", "model.ftc", "--steps", "1", "--warmup", "0", "--json"]
        train = ["run", "model.ftc", "--train", "texts.csv", "--tokenizer", tokenizer, "--cache", "none"]
        train += ["--output", "output", "--batch", str(sizes["batch"]), "--max-steps", "1", "--no-report"]
        text, peak = run(*bench)
        checks.that(
            f"bench tells another peak than {peak}:\n{text}",
            abs(json.loads(text)["peak_rss_bytes"] / 1e6 - peak) < 2,  # it still prints, and ends
        )
        yield "bench", peak, step
        yield (
            "bench on more threads",
            run(*bench, "--threads", str(MORE_THREADS))[1],
            step + scratch * (MORE_THREADS - threads),
        )
        yield "run", run(*train)[1], step
        yield "run with clipping", run(*train, "--max-grad-norm", "1")[1], clipped

    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # so many threads, and each has work
        base = {name: peak - printed for name, peak, printed in taken(TINY)}
        budget = 60.0
        for options in ([], ["--memory", f"{budget}MB"]):
            for name, peak, printed in taken(LARGE, *options):
                own = peak - base[name]
                print(f"{' '.join([name, *options])}: {printed:.1f} MB are printed, {own:.1f} are taken")
                checks.that(f"these are {own - printed:.1f} MB more", abs(own - printed) < TOLERANCE)
                if options and name in ("bench", "run"):
                    checks.that(f"{printed} MB are over the budget", printed <= budget)
    return checks.end()


if __name__ == "__main__":
    sys.exit(main())
