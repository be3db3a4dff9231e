#!/usr/bin/env python3
"""Compares two safetensors files tensor by tensor: prints ||ours - golden|| / ||golden|| and fails beyond a tolerance.

A gradient that is zero in exact arithmetic (a key's bias: softmax ignores a shift of all keys) has nothing to be
relative to: a golden tensor whose norm is below 1e-9 of the norm of all of them is compared with that whole norm.

Usage: compare.py OURS.safetensors GOLDEN.safetensors [--tolerance X]      exit status 1 if a tensor differs or is missing
"""

import argparse
import math
import sys

import tensorfile

NOTHING = 1e-9  # share of the whole norm below which a golden tensor counts as zero


def norm(values):
    return math.sqrt(math.fsum(v * v for v in values))


def distance(ours, golden):
    return math.sqrt(math.fsum((a - b) * (a - b) for a, b in zip(ours, golden)))


def errors(ours, golden):
    """Yields (name, error, reason): an error is a number, or infinity with the reason why nothing was compared."""
    whole = math.hypot(*(norm(values) for _, values in golden.values()))
    for name, (shape, values) in golden.items():
        if name not in ours:
            yield name, math.inf, "missing in our file"
        elif ours[name][0] != shape:
            yield name, math.inf, f"shape {ours[name][0]}, expected {shape}"
        else:
            size = norm(values)
            if size < NOTHING * whole:
                yield (
                    name,
                    distance(ours[name][1], values) / whole,
                    "zero in theory: relative to all gradients",
                )
            else:
                yield name, distance(ours[name][1], values) / size, ""
    for name in ours:
        if name not in golden:
            yield name, math.inf, "not in the golden"


def compare(ours_path, golden_path, tolerance, out=sys.stdout):
    """Prints one line a tensor; returns the number of tensors compared and of those that failed."""
    compared = failed = 0
    for name, error, reason in errors(tensorfile.read(ours_path), tensorfile.read(golden_path)):
        compared += 1
        wrong = not error <= tolerance  # a NaN is wrong too
        failed += wrong
        print(f"{'FAIL' if wrong else 'ok  '} {error:9.2e}  {name}  {reason}".rstrip(), file=out)
    return compared, failed


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ours")
    parser.add_argument("golden")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    compared, failed = compare(args.ours, args.golden, args.tolerance)
    print(f"{compared - failed} of {compared} tensors agree to {args.tolerance:g}")
    return 1 if failed or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
