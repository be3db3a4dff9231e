#!/usr/bin/env python3
"""Adapters of low rank through the command: saved, resumed, merged, read, and refused with words that help.

What the numbers are, tests/parity/lora.py says. Standard library only.

    adapters.py FTC GOLDEN_DIR       GOLDEN_DIR: tests/golden
"""

import json
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "parity"))
import tensorfile
from checks import Checks, Ftc


def main():
    golden = pathlib.Path(sys.argv[2]).resolve()
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        ftc = Ftc(sys.argv[1], work)
        shutil.copytree(golden / "families" / "modernbert", work / "base")
        data = ["--train", golden / "families" / "train.csv", "--batch", 4, "--no-report", "--cache", "none"]
        lora = ["--lora", "Wqkv", "--lora-rank", 2, "--lora-dropout", 0.2]

        def run(output, *words, pretrained="base"):
            where = ["--pretrained", pretrained] if pretrained else []
            return ftc(
                "run",
                *where,
                *data,
                "--max-steps",
                8,
                "--save-strategy",
                "steps",
                "--save-steps",
                4,
                "--save-total-limit",
                0,
                "--output",
                output,
                *words,
            )

        def works(what, done):
            checks.that(f"{what}: status {done.returncode}:\n{done.stderr}", done.returncode == 0)

        def refused(what, done, *texts):
            told = done.returncode == 2 and all(text in done.stderr for text in texts)
            checks.that(f"{what}: status {done.returncode}, expected 2 and {texts}:\n{done.stderr}", told)

        def bytes_of(output, file="adapter_model.safetensors"):
            return (work / output / file).read_bytes()

        def holds(what, output, *, adapter):
            names = {path.name for path in (work / output).iterdir()}
            checks.that(f"{what}: {names}", ("adapter_config.json" in names) == adapter)
            checks.that(f"{what}: {names}", ("adapter_model.safetensors" in names) == adapter)
            checks.that(f"{what}: {names}", ("model.safetensors" in names) != adapter)

        # Saved: adapters and head, no moment of anything else; resumed from the middle to the same bytes.
        works("run", run("whole", *lora))
        holds("an adapter", "whole", adapter=True)
        holds("a checkpoint", "whole/checkpoint-4", adapter=True)
        ours = {
            name: shape
            for name, (shape, _) in tensorfile.read(work / "whole/adapter_model.safetensors").items()
        }
        kinds = [name.split(".")[2] if ".lora_" not in name else "lora" for name in ours]
        checks.that(
            f"tensors: {sorted(ours)}",
            set(kinds) == {"lora", "head", "classifier"} and kinds.count("lora") == 8,
        )
        moments = tensorfile.read(work / "whole/checkpoint-4/optimizer.safetensors")
        owners = {"base_model.model." + name.rsplit(".", 1)[0] for name in moments}
        checks.that(f"moments of others: {sorted(owners ^ set(ours))}", owners == set(ours))
        shutil.copytree(work / "whole/checkpoint-4", work / "from")
        works("resume", run("resumed", *lora, "--resume-from-checkpoint", "from"))
        checks.that("resumed to other bytes", bytes_of("resumed") == bytes_of("whole"))
        checks.that(
            "a seed does not matter",
            run("other", *lora, "--seed", 7) and bytes_of("other") != bytes_of("whole"),
        )

        # Read: by itself, and from a folder that has moved with its base.
        words = ["predict", "whole", "--json", "good food"]
        said = ftc(*words)
        works("predict", said)
        works("eval", ftc("eval", "whole", "--test", golden / "families" / "train.csv"))
        works("train on", run("further", pretrained="whole"))
        config = json.loads((work / "further/adapter_config.json").read_text(encoding="utf-8"))
        checks.that(
            f"its base is {config}",
            config["base_model_name_or_path"] == str(work / "base") and config["r"] == 2,
        )
        works("merge", run("merged", *lora, "--lora-merge"))
        holds("merged", "merged", adapter=False)
        checks.that(
            "merged with adapters",
            not any(".lora_" in name for name in tensorfile.read(work / "merged/model.safetensors")),
        )
        merged = json.loads(ftc("predict", "merged", "--json", "good food").stdout)["logits"]
        apart = json.loads(said.stdout)["logits"]
        checks.that(f"merged {merged}, apart {apart}", all(abs(a - b) < 1e-5 for a, b in zip(merged, apart)))

        # One kind of weights takes the place of the other.
        works("an adapter over a model", run("merged", *lora, "--overwrite"))
        holds("an adapter over a model", "merged", adapter=True)
        works("a model over an adapter", run("merged", *lora, "--lora-merge"))
        holds("a model over an adapter", "merged", adapter=False)
        works("all", run("all", "--lora", "all-linear"))

        # What a base's files lack, the adapter keeps: BERT's pooler.
        tiny = work / "tiny"
        shutil.copytree(golden / "parity" / "tiny" / "model", tiny)
        tensors = {
            name: value
            for name, value in tensorfile.read(tiny / "model.safetensors").items()
            if ".pooler." not in name
        }
        tensorfile.write(tiny / "model.safetensors", tensors)
        works("without pooler", run("pooled", "--lora", "query", pretrained="tiny"))
        checks.that(
            "the pooler is lost",
            any(".pooler." in name for name in tensorfile.read(work / "pooled/adapter_model.safetensors")),
        )
        said = ftc("predict", "pooled", "good food")
        checks.that(
            f"the pooler is missed: {said.stderr}", said.returncode == 0 and "lacks" not in said.stderr
        )

        # Refused.
        refused(
            "no base",
            ftc(
                "run",
                golden.parent.parent / "models/mlp.ir",
                "--lora",
                "hidden",
                "--max-steps",
                1,
                "--output",
                "x",
            ),
            "--pretrained DIR",
            "--lora-merge",
        )
        refused(
            "the base's folder",
            run("base", *lora, "--overwrite"),
            "the base model that the adapters belong to lies there",
        )
        checks.that("the base is gone", (work / "base/model.safetensors").exists())
        refused("nothing to merge", run("x", "--lora-merge"), "the model has no adapters")
        refused("a module", run("x", "--lora", "query"), "lora 'query'", "there are Wqkv, Wo, Wi")
        for entry, value in {
            "peft_type": "IA3",
            "task_type": "CAUSAL_LM",
            "use_dora": True,
            "use_rslora": True,
            "bias": "all",
            "rank_pattern": {"a": 1},
            "target_modules": ".*",
            "init_lora_weights": "pissa",
        }.items():
            path = work / "whole/adapter_config.json"
            was = path.read_text(encoding="utf-8")
            path.write_text(json.dumps(json.loads(was) | {entry: value}), encoding="utf-8")
            refused(entry, ftc(*words), "adapter_config.json: ", entry)
            path.write_text(was, encoding="utf-8")
        (work / "base").rename(work / "moved")
        refused(
            "the base has moved",
            ftc(*words),
            "adapter_config.json",
            str(work / "base"),
            "write there where it lies now",
        )
    return checks.end()


if __name__ == "__main__":
    sys.exit(main())
