"""What every peer's script shares: options, pinning to cores, timing, and the object that it prints.

A peer's script calls main(name, build). build(options) returns a function that does one whole training step (forward,
backward, AdamW; dropout 0.1, full-length synthetic batches) and waits for its end. A measurement is one JSON object
on one line of standard output:

    name, hidden, layers, heads, intermediate, batch, length, threads, steps,
    step_ms_min, step_ms_median, first_step_seconds (compilation included), peak_rss_bytes

and what the step tells of itself in its attribute `told`. Each of --ranks processes has --threads cores of its own.

With --serve the process stays and makes one measurement for every line of standard input (a number of steps; 0 asks only
whether it is there), so that bench/compare can take turns between peers without paying for their start and compilation
again.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time


def options(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--intermediate", type=int, default=1536)
    parser.add_argument("--vocab", type=int, default=30522)
    parser.add_argument("--positions", type=int, default=512)
    parser.add_argument("--labels", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of products; bf16: mixed, as usual there")
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--warmup", type=int, default=2, help="steps before the first measurement")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--ranks", type=int, default=1, help="processes that train together; this is one of them")
    parser.add_argument("--rank", type=int, default=0, help="which one")
    parser.add_argument("--serve", action="store_true", help="measure once for every line of standard input")
    return parser


def measure(step, steps):
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    return {"steps": steps, "step_ms_min": min(times), "step_ms_median": statistics.median(times)}


def main(name, build, parser):
    """Pins the process, builds the step, warms it up and prints measurements."""
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[args.rank * args.threads :][: args.threads]
    os.sched_setaffinity(0, cores)  # before the framework starts its threads
    start = time.perf_counter()
    step = build(args)
    built = time.perf_counter()
    step()
    first = time.perf_counter() - built
    for _ in range(args.warmup):
        step()
    shape = {
        key: getattr(args, key) for key in ("hidden", "layers", "heads", "intermediate", "batch", "length")
    }
    fixed = {
        "name": name,
        **shape,
        "threads": len(cores),
        "setup_seconds": built - start,
        "first_step_seconds": first,
        **getattr(step, "told", {}),
    }
    for steps in map(int, sys.stdin) if args.serve else [args.steps]:
        result = measure(step, steps) if steps else {}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({**fixed, **result, "peak_rss_bytes": peak}), flush=True)
