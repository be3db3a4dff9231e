"""Random arguments: whatever a call is given, it works or raises; the interpreter never crashes, and the net works afterwards."""

import random

import numpy as np

import ftc

CALLS = 10000


def anything(rng):
    kinds = [
        lambda: rng.choice([None, True, "", "text", b"x", 1.5, -1, 0, 1 << 70, float("nan"), float("inf"), {}, object()]),
        lambda: rng.randrange(-3, 200),
        lambda: [rng.randrange(-2, 1700) for _ in range(rng.randrange(6))],
        lambda: [[rng.randrange(-1, 1661) for _ in range(rng.randrange(4))] for _ in range(rng.randrange(4))],
        lambda: np.array([[rng.randrange(1660)] * rng.randrange(1, 4)] * rng.randrange(1, 4))[:: rng.choice([1, -1, 2])],
        lambda: np.full((rng.randrange(3),) * rng.randrange(4), rng.random(), rng.choice(["f4", "f8", "i8", "u1", "?", "c16", "O"])),
        lambda: [anything(rng) for _ in range(rng.randrange(3))],
    ]
    return rng.choice(kinds)()


def renew(net, arguments):
    net.init()
    for tensors in (net.gradients, net.moments):
        for name in tensors:
            tensors[name][...] = 0
    net.set(**arguments)
    net.steps = 0


def test_random_arguments(models):
    net = ftc.compile(models / "mlp.ir", threads=1)
    arguments, rng = net.arguments, random.Random(1)
    names = ["ids", "label", "lr", "dropout", "offsets", "idz", "max_grad_norm", "hidden.weight", "loss", "logits", "fuse"]
    raised = worked = 0
    for i in range(CALLS):
        if i % 20 == 0:
            renew(net, arguments)
        given = {"ids": [[1, 2], [3]], "label": [0, 1], "lr": 1e-3}
        for _ in range(rng.randrange(3)):
            given[rng.choice(names[:7])] = anything(rng)
        calls = [
            lambda: net.step(**given),
            lambda: net.grad(**given),
            lambda: net.eval(**given),
            lambda: net.update(lr=anything(rng)),
            lambda: net.set(**{rng.choice(names): anything(rng)}),
            lambda: net.parameters[anything(rng)],
            lambda: net.parameters.__setitem__("classifier.bias", anything(rng)),
            lambda: net.output(rng.choice(names)),
            lambda: net.kernels_of(anything(rng)),
            lambda: net.assign({"classifier.bias": anything(rng)}),
            lambda: setattr(net, "steps", anything(rng)),
            lambda: ftc.Tokenizer(anything(rng)),
        ]
        try:
            rng.choice(calls)()
            worked += 1
        except (ftc.Error, TypeError, ValueError, KeyError):
            raised += 1
    assert worked > CALLS / 20 and raised > CALLS / 20
    renew(net, arguments)
    assert np.isfinite(net.step(ids=[[1, 2]], label=[0], lr=1e-3, dropout=0.1).loss)
