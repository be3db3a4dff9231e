"""Random arguments: whatever a call is given, it works or raises; the interpreter never crashes, and the net works afterwards."""

import random

import numpy as np

import ftc

CALLS, ROWS, TRAININGS = 10000, 2000, 500
REFUSALS = (ftc.Error, TypeError, ValueError, KeyError, NotImplementedError, OverflowError)


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


def test_random_rows(models):
    """Of a data set, for the Trainer: every kind of value in every column."""
    trainer = ftc.Trainer(models.parent / "tests/golden/parity/tiny/model", ftc.TrainingArguments(disable_tqdm=True))
    rng, good = random.Random(2), {"input_ids": [5, 6, 7], "attention_mask": [1, 1, 1], "label": 1}
    right = trainer.predict([good]).predictions
    raised = worked = 0
    for _ in range(ROWS):
        rows = []
        for _ in range(rng.randrange(4)):
            row = {**good, "input_ids": [rng.randrange(100) for _ in range(rng.randrange(1, 9))]}
            row["attention_mask"] = [rng.randrange(2) for _ in row["input_ids"]]
            if rng.randrange(3) == 0:
                row[rng.choice(["input_ids", "attention_mask", "token_type_ids", "label", "labels", "text"])] = anything(rng)
            if rng.randrange(4) == 0:
                del row[rng.choice(list(row))]
            rows.append(anything(rng) if rng.randrange(12) == 0 else row)
        try:
            trainer.predict(rows if rng.randrange(20) else anything(rng))
            worked += 1
        except REFUSALS:
            raised += 1
    assert worked > ROWS / 20 and raised > ROWS / 20
    assert np.array_equal(trainer.predict([good]).predictions, right)


def test_random_training_arguments(models, tmp_path):
    rows = [{"input_ids": [5 + i, 6, 7], "label": i % 5} for i in range(20)]
    args = ftc.TrainingArguments(str(tmp_path), max_steps=2, disable_tqdm=True, logging_strategy="no", save_strategy="no")
    trainer = ftc.Trainer(models.parent / "tests/golden/parity/tiny/model", args, train_dataset=rows)
    fields = "learning_rate weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm warmup_steps warmup_ratio seed data_seed"
    fields += " per_device_train_batch_size gradient_accumulation_steps num_train_epochs label_smoothing_factor dataloader_drop_last"
    fields += " lr_scheduler_type lr_scheduler_kwargs train_sampling_strategy"
    schedules = ["cosine_with_min_lr", "warmup_stable_decay", "polynomial", "linear", "inverse_sqrt"]
    keywords = ["min_lr", "min_lr_rate", "num_decay_steps", "decay_type", "power", "lr_end", "num_cycles", "timescale"]
    usual, rng, raised, worked = dict(vars(args)), random.Random(3), 0, 0
    for _ in range(TRAININGS):
        vars(args).update(usual)
        if trainer.net is not None:
            trainer.net.init()  # a rate that is taken may have led to weights that are not finite
        for name in rng.sample(fields.split(), rng.randrange(1, 3)):
            setattr(args, name, rng.choice([usual[name], 0.5, 2, anything(rng), anything(rng)]))
        if rng.randrange(3) == 0:
            args.lr_scheduler_type = rng.choice(schedules)
            args.lr_scheduler_kwargs = {rng.choice(keywords): rng.choice([0.1, 1, anything(rng)])}
        try:
            trainer.train()
            worked += 1
        except REFUSALS:
            raised += 1
    assert worked > TRAININGS / 20 and raised > TRAININGS / 20


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
        except REFUSALS:
            raised += 1
    assert worked > CALLS / 20 and raised > CALLS / 20
    renew(net, arguments)
    assert np.isfinite(net.step(ids=[[1, 2]], label=[0], lr=1e-3, dropout=0.1).loss)
