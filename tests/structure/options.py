#!/usr/bin/env python3
"""Every option refuses a bad value: it says what and where, and ends with status 2.

An option that `ftc run --help` lists and BAD does not fails the test; so does an option of another command that neither
BAD nor OTHERS knows. The same values under their names of TrainingArguments must be refused in a file for --args; GOOD
holds fields that must be taken.

    options.py FTC MODEL.ir
"""

import json
import pathlib
import re
import sys
import tempfile

from checks import Checks, Ftc

NUMBER, WHOLE, LEAST_0, LEAST_1 = "expected a number", "expected an integer", "at least 0", "at least 1"
ALWAYS = ["--max-steps", "1"]

# Option: bad value, what the message says beside the option's name, and other options that it takes to get there.
BAD = {
    "epochs": ("-1", LEAST_0),
    "max-steps": ("-2", "at least -1"),
    "batch": ("0", LEAST_1),
    "eval-batch": ("0", LEAST_1),
    "accumulation": ("0", LEAST_1),
    "shards": ("0", LEAST_1),
    "wire": ("fp16", "expected fp32|bf16"),
    "lr": ("inf", NUMBER),
    "schedule": ("line", "expected linear|cosine|"),
    "warmup-steps": ("-1", LEAST_0),
    "warmup-ratio": ("1.5", "at most 1"),
    "schedule-cycles": ("-1", LEAST_0),
    "schedule-power": ("-1", LEAST_0),
    "schedule-end": ("1e-3", "--lr must be larger", "--schedule", "polynomial", "--lr", "1e-3"),
    "schedule-timescale": ("-1", LEAST_0),
    "schedule-min-lr": ("-1", LEAST_0),
    "schedule-min-share": ("1.5", "at most 1"),
    "schedule-min-ratio": ("1.5", "at most 1"),
    "schedule-decay": ("-1", LEAST_0),
    "schedule-stable": ("-1", LEAST_0),
    "schedule-rise": ("step", "expected "),
    "schedule-fall": ("step", "expected "),
    "schedule-factor": ("-1", LEAST_0),
    "schedule-patience": ("-1", LEAST_0),
    "schedule-threshold": ("-1", LEAST_0),
    "schedule-cooldown": ("-1", LEAST_0),
    "weight-decay": ("-0.01", LEAST_0),
    "beta1": ("1", "less than 1"),
    "beta2": ("1.5", "less than 1"),
    "eps": ("-1", LEAST_0),
    "momentum": ("1.1", "at most 1"),
    "max-grad-norm": ("-1", LEAST_0),
    "label-smoothing": ("1.1", "at most 1"),
    "class-weights": ("nowhere.json", "nowhere.json"),
    "focal-gamma": ("-1", LEAST_0),
    "dropout": ("1", "less than 1"),
    "seed": ("x", WHOLE),
    "data-seed": ("0.5", WHOLE),
    "no-shuffle": ("maybe", "true or false"),
    "group-by-length": ("maybe", "true or false"),
    "sampling": ("sorted", "expected random|sequential|group_by_length"),
    "drop-last": ("maybe", "true or false"),
    "logging-strategy": ("always", "expected no|steps|epoch"),
    "logging-steps": ("0", "--logging-strategy no"),
    "logging-first-step": ("maybe", "true or false"),
    "eval-strategy": ("best", "expected no|steps|epoch"),
    "eval-steps": ("-1", LEAST_0),
    "eval-on-start": ("maybe", "true or false"),
    "eval-delay": ("-1", LEAST_0),
    "save-strategy": ("always", "expected no|steps|epoch|best"),
    "save-steps": ("0", "--save-strategy no", "--save-strategy", "steps"),
    "save-total-limit": ("-1", LEAST_0),
    "save-only-model": ("maybe", "true or false"),
    "load-best-model-at-end": ("true", "--save-strategy", "--save-strategy", "no"),
    "metric-for-best-model": ("f2", "accuracy, f1, precision"),
    "greater-is-better": ("maybe", "expected auto|true|false"),
    "early-stopping-patience": ("-1", LEAST_0),
    "early-stopping-threshold": ("-1", LEAST_0),
    "output": ("taken", "a directory is needed"),
    "overwrite": ("maybe", "true or false"),
    "trust-model": ("maybe", "true or false"),
    "resume": ("maybe", "true or false"),
    "resume-from-checkpoint": ("nowhere", "nowhere"),
    "threads": ("0", LEAST_1),
    "metrics": ("none/metrics.jsonl", "cannot write the metrics"),
    "report-to": ("wandb", "expected none|tensorboard|all"),
    "logging-dir": ("taken", "taken", "--report-to", "tensorboard"),
    "args": ("none.json", "none.json"),
    "gradient-checkpointing": ("maybe", "true or false"),
    "bf16": ("maybe", "true or false"),
    "disable-progress": ("maybe", "true or false"),
    "no-report": ("maybe", "true or false"),
    "guard": ("maybe", "true or false"),
    "tune": ("maybe", "true or false"),
    "train": ("none.csv", "none.csv"),
    "test": ("none.csv", "none.csv"),
    "split-test": ("100000", "rows were asked for", "--train", "{data}/reviews-train.csv"),
    "shuffle-seed": ("-1", LEAST_0),
    "select-train": ("100000", "rows were asked for"),
    "select-test": ("100000", "rows were asked for"),
    "tokenizer": ("nowhere", "nowhere/vocab.txt"),
    "text-column": ("texts", 'did you mean "text"?'),
    "pair-column": ("second", "there is no column"),
    "label-column": ("9", "there is no column 9"),
    "format": ("xls", "expected auto|csv|tsv|json|conll|lines"),
    "header": ("maybe", "expected auto|yes|no"),
    "delimiter": (";;", "expected one character"),
    "quoting": ("maybe", "expected auto|yes|no"),
    "encoding": ("klingon", 'there is no encoding "klingon"'),
    "mlm-probability": ("1.5", "less than 1"),
    "missing-label": ("1", "the row has no label"),
    "skip-bad-rows": ("maybe", "true or false"),
    "label-all-tokens": ("maybe", "true or false"),
    "tokenizer-by-class": ("maybe", "true or false"),
    "label-columns": ("cold", "pass --task multi_label"),
    "set": ("hiden=3", "hidden"),
    "task": ("poetry", "poetry"),
    "graph": ("maybe", "expected ENTRY=FILE"),
    "kernel": ("none.txt", "expected a .c, .ll or .o file"),
    "kernel-schedule": ("nowhere", "nowhere"),
    "pretrained": ("nowhere", "nowhere/config.json"),
    "max-length": ("1", "no room for the 2 special tokens"),
    "no-pass": ("cze", "did you mean cse?"),
    "precision": ("fp8", "expected fp32|bf16"),
    "gemm": ("mkl", "expected native|openblas"),
    "target": ("z80", "native, avx512, avx2, generic, aarch64 and sve256"),
    "memory": ("1KB", "the smallest is"),
    "loss": ("hinge", "there are auto, cross_entropy"),
    "optim": ("adan", "adamw, adam"),
    "freeze": ("berd.*", "no parameter has such a name"),
    "group": ("bert.*:lr=x", "expected lr=FACTORx"),
    "layer-decay": ("-1", LEAST_0),
    "lora": ("querry", "did you mean 'query'?"),
    "lora-rank": ("0", LEAST_1),
    "lora-alpha": ("-1", LEAST_0),
    "lora-dropout": ("1", "less than 1"),
    "lora-merge": ("maybe", "true or false"),
}

# A number beyond its range, beside those of BAD: never a smaller one, never none.
MOST_WHOLE = "at most 2147483647"
BEYOND = {
    "epochs": ("1e19", "steps are more than the 2147483647"),
    "max-steps": ("2147483648", MOST_WHOLE),
    "batch": ("99999999999999999999", MOST_WHOLE),
    "eval-batch": ("4294967297", MOST_WHOLE),
    "accumulation": ("9223372036854775807", MOST_WHOLE),
    "shards": ("2147483647", "training examples"),
    "lr": ("1e39", "at most 3.4"),
    "warmup-steps": ("1e10", MOST_WHOLE),
    "logging-steps": ("1e300", MOST_WHOLE),
    "eval-steps": ("3e9", MOST_WHOLE),
    "save-steps": ("1e19", MOST_WHOLE),
    "eval-delay": ("1e19", MOST_WHOLE),
    "seed": ("9007199254740992", "at most 9007199254740991"),
    "data-seed": ("18446744073709551616", "at most 9007199254740991"),
    "beta1": ("0.999999999", "less than 1"),  # 1 as a float
    "dropout": ("0.999999999", "less than 1"),
    "max-grad-norm": ("1e400", NUMBER),
    "weight-decay": ("1e39", "at most 3.4"),
    "threads": ("4294967297", MOST_WHOLE),
    "save-total-limit": ("4294967297", MOST_WHOLE),
    "split-test": ("18446744073709551615", MOST_WHOLE),
    "max-length": ("4294967298", MOST_WHOLE),
    "memory": ("1", "from 1KB on"),
}
# The same in a model's train block.
BEYOND_IN_TEXT = {
    "epochs": ("1e19", "steps are more than the 2147483647"),
    "lr": ("1e39", "at most 3.4"),
    "accumulation": ("4294967296", MOST_WHOLE),
    "max_steps": ("1e400", "larger than any number"),
    "warmup_ratio": ("1e400", "larger than any number"),
}

# Every value will do: a cache that cannot be written is as good as none.
NEVER_BAD = {"cache"}

# The other commands, each in a form that works; options that bear another meaning there than under `ftc run`, or that it
# lacks; and those that have none in this form, or take any value.
SMALL = ["--set", "hidden=32", "--set", "intermediate=64", "--set", "layers=1"]
ROW = ["--train", "{data}/reviews-train.csv", "--row", "3", "--tokenizer", "{data}/tokenizer"]
COMMANDS = {
    "compile": ["{model}", *SMALL],
    "bench": ["small.ftc", "--steps", "1", "--warmup", "0"],
    "eval": ["out", "--test", "{data}/reviews-test.csv"],
    "predict": ["out", "--file", "{data}/reviews-test.csv"],
    "tokenize": ["{data}/tokenizer", "--file", "{data}/reviews-test.csv"],
    "inspect": ROW,
    "verify": ["{model}", *SMALL, "--train", "{data}/reviews-train.csv", "--tokenizer", "{data}/tokenizer"],
    "opt": ["{model}", "--passes=dce"],
}
OTHERS = {
    "output": ("none/x.ftc", "none/x.ftc"),
    "emit": ("exe", "expected ir|kernels|llvm|asm"),
    "dump-after": ("cze", "did you mean cse?"),
    "dump-dir": ("none/dumps", "none/dumps"),
    "ranks": ("0", LEAST_1),
    "time-passes": ("maybe", "true or false"),
    "length": ("0", LEAST_1),
    "steps": ("0", LEAST_1),
    "warmup": ("-1", LEAST_0),
    "kernels": ("maybe", "true or false"),
    "peak": ("maybe", "true or false"),
    "json": ("maybe", "true or false"),
    "pairs": ("maybe", "true or false"),
    "file": ("none.csv", "none.csv"),
    "csv": ("maybe", "true or false"),
    "top-k": ("0", LEAST_1),
    "threshold": ("2", "at most 1"),
    "embeddings": ("maybe", "true or false"),
    "tensors": ("maybe", "true or false"),
    "source": ("maybe", "true or false"),
    "row": ("100000", "row 100000"),
    "dump-grads": ("none/grads", "none/grads"),
    "full": ("maybe", "true or false"),
    "passes": ("cze", "did you mean cse?"),
    "entry": ("forward", "expected step|grad|update|eval"),
    "max-length": ("0", LEAST_1),
    "kernel-schedule": ("none/edits", "none/edits"),  # of kernels; that of the learning rate is `ftc run`'s
}
MODEL = {"set", "task", "kernel", "kernel-schedule", "pretrained", "no-pass", "target", "memory", "loss", "optim", "freeze", "group", "lora"}
ROWS = {"test", "split-test", "select-train", "select-test"}
WITHOUT_MEANING = {
    "predict": {"label-column", "label-columns", "missing-label"},
    "tokenize": {"label-column", "label-columns", "missing-label"},
    "inspect": MODEL | ROWS | {"label-columns", "missing-label"},  # of a row of data
    "verify": ROWS,
}

# Fields whose values are not known to be wrong where the file is read.
# Nor services, which are ignored.
NO_ERROR_OF_THE_FILE = ("output", "report-to", "logging-dir", "logging-steps", "metric-for-best-model", "optim", "resume-from-checkpoint")

# The fields of TrainingArguments that mean something here, each with a value that it can have, and some that do not.
GOOD = {
    "output_dir": "out",
    "overwrite_output_dir": False,
    "per_device_train_batch_size": 8,
    "per_device_eval_batch_size": 16,
    "num_train_epochs": 0.06,
    "max_steps": -1,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "adam_beta1": 0.9,
    "adam_beta2": 0.99,
    "adam_epsilon": 1e-7,
    "max_grad_norm": 0.5,
    "lr_scheduler_type": "cosine_with_restarts",
    "lr_scheduler_kwargs": {"num_cycles": 2},
    "warmup_steps": 0.1,
    "warmup_ratio": 0.0,
    "gradient_accumulation_steps": 2,
    "gradient_checkpointing": True,
    "bf16": False,
    "label_smoothing_factor": 0.1,
    "logging_strategy": "steps",
    "logging_steps": 2,
    "logging_first_step": True,
    "eval_strategy": "steps",
    "eval_steps": 4,
    "eval_on_start": True,
    "save_strategy": "steps",
    "save_steps": 4,
    "save_total_limit": 1,
    "save_only_model": False,
    "load_best_model_at_end": True,
    "metric_for_best_model": "accuracy",
    "greater_is_better": True,
    "resume_from_checkpoint": None,
    "seed": 1,
    "data_seed": 2,
    "group_by_length": True,
    "dataloader_drop_last": True,
    "train_sampling_strategy": "group_by_length",
    "optim": "adamw_torch",
    "disable_tqdm": True,
    "push_to_hub": True,
    "fp16": True,
    "report_to": ["tensorboard", "wandb"],
    "logging_dir": "out/events",
    # As TrainingArguments writes them when nobody has set them.
    "debug": [],
    "fsdp_config": {},
    "ddp_timeout": 1800,
    "log_level": "passive",
    "a_field_of_tomorrow": None,
}


def main():
    model = pathlib.Path(sys.argv[2]).resolve()
    data = model.parent / "data"
    checks = Checks()

    def refused(what, done, texts):
        told = done.returncode == 2 and all(text in done.stderr for text in texts)
        told = told and "error: " not in {line[:7] for line in done.stderr.splitlines()}  # of no file and no command
        checks.that(f"{what}: status {done.returncode}, expected 2 and {texts}:\n{done.stderr}", told)

    def file_with(fields):
        pathlib.Path(work, "args.json").write_text(json.dumps(fields), encoding="utf-8")
        return ["--args", "args.json", "--test", str(data / "reviews-test.csv"), "--select-test", "40"]

    with tempfile.TemporaryDirectory() as work:
        ftc = Ftc(sys.argv[1], work)
        small = ["--set", "hidden=32", "--set", "intermediate=64", "--set", "layers=1"]
        checks.that("the model does not compile", ftc("compile", model, *small, "-o", "small.ftc").returncode == 0)
        pathlib.Path(work, "taken").write_text("a file", encoding="utf-8")
        helped = ftc("run", "--help").stdout
        lines = re.findall(r"^  --([a-z0-9-]+).*?(?:\[([a-z0-9_]+)\])?$", re.sub(r"\n {8,}", " ", helped), re.M)
        listed = dict(reversed(lines))  # --batch stands under Training and under Compiling
        for name in listed.keys() ^ (BAD.keys() | NEVER_BAD):
            checks.that(f"--{name}: in `ftc run --help` or in BAD, not in both", False)

        for name, (value, text, *others) in BAD.items():
            others = [other.format(data=data) for other in others]
            done = ftc("run", "small.ftc", *ALWAYS, *others, f"--{name}={value}")
            refused(f"--{name} {value}", done, [text])

        for name, (value, text, *others) in BAD.items():
            alias = listed.get(name)
            field = alias or name.replace("-", "_")
            if field not in GOOD or others or name in NO_ERROR_OF_THE_FILE:
                continue
            done = ftc("run", "small.ftc", *ALWAYS, *file_with({field: value}))
            refused(f'"{field}": "{value}"', done, ["args.json", f'"{field}"', text])

        for name, (value, text) in BEYOND.items():
            refused(f"--{name} {value}", ftc("run", "small.ftc", f"--{name}={value}"), [text])
            field = listed.get(name) or name.replace("-", "_")
            if field in GOOD and name != "epochs":  # known to be wrong only with the data at hand
                done = ftc("run", "small.ftc", *ALWAYS, *file_with({field: value}))
                refused(f'"{field}": "{value}"', done, ["args.json", f'"{field}"', text])
        pathlib.Path(work, "args.json").write_text('{"learning_rate": 1e400}', encoding="utf-8")
        refused("1e400 as JSON", ftc("run", "small.ftc", "--args", "args.json"), ["args.json", "at byte 18", "what a double holds"])
        pathlib.Path(work, "args.json").write_text('{"run_name": "\\"1e400", "weight_decay": -1E-400}', encoding="utf-8")
        refused("-1E-400 as JSON", ftc("run", "small.ftc", "--args", "args.json"), ["args.json", "at byte 41", "what a double holds"])
        source = model.read_text(encoding="utf-8").replace('"data/', f'"{data}/')
        for name, (value, text) in BEYOND_IN_TEXT.items():
            rest = re.sub(rf"^    {name} = .*\n", "", source, flags=re.M)
            changed = rest.replace("train {\n", f"train {{\n    {name} = {value}\n")
            pathlib.Path(work, "beyond.ir").write_text(changed, encoding="utf-8")
            refused(f"{name} = {value} in the text", ftc("run", "beyond.ir", "--trust-model"), [text])

        trained = ftc("run", "small.ftc", *ALWAYS, "--output", "out")
        checks.that("the model does not train", trained.returncode == 0)
        for command, words in COMMANDS.items():
            words = [word.format(data=data, model=model) for word in words]
            helped = ftc(command, "--help").stdout
            for name in sorted(set(re.findall(r"^  --([a-z0-9-]+)", helped, re.M))):
                if name in NEVER_BAD | WITHOUT_MEANING.get(command, set()):
                    continue
                flag = name == "graph" and command == "inspect"  # what it prints, not what is compiled
                value, text = (flag and ("maybe", "true or false") or OTHERS.get(name) or BAD.get(name, ("", "a bad value in BAD or OTHERS")))[:2]
                refused(f"ftc {command} --{name} {value}", ftc(command, *words, f"--{name}={value}"), [text])

        done = ftc("run", "small.ftc", *file_with(GOOD))
        checks.that(f"all fields together: status {done.returncode}:\n{done.stderr}", done.returncode == 0)
        for name in ("push_to_hub", "fp16", "report_to wandb"):
            checks.that(f"{name} is not named as ignored", re.search(rf"ignored: .*\b{name}\b", done.stderr))
        for name in ("debug", "fsdp_config", "ddp_timeout", "log_level", "a_field_of_tomorrow"):
            checks.that(f"{name} asks for nothing, but is named", name not in done.stderr)
        checks.that(
            "a model evaluated before training is taken for the best", "best model is that of step 0" not in done.stderr
        )
        done = ftc("run", "small.ftc", *ALWAYS, *file_with({**GOOD, "lerning_rate": 1}))
        refused("an unknown field", done, ['did you mean "learning_rate"?'])
    return checks.end()


if __name__ == "__main__":
    sys.exit(main())
