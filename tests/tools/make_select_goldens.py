"""Prints the table in tests/test_select.c: permutations by NumPy, each as its first values and a hash of all.

    make_select_goldens.py
"""
import numpy as np

MULTIPLIER = 0x9E3779B97F4A7C15


def show(seed, n):
    p = np.random.default_rng(seed).permutation(n)
    value = 0
    for x in p.tolist():
        value = (value * MULTIPLIER + x + 1) & (1 << 64) - 1
    first = ", ".join(str(x) for x in p[:4].tolist())
    print("    {%dull, %d, {%s}, 0x%016xull}," % (seed, n, first, value))


for seed in (0, 1, 42, 2**32 - 1, 2**32, 2**64 - 1):
    for n in (4, 5, 1000, 65537):
        show(seed, n)
show(42, 200003)
