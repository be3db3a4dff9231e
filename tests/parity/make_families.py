#!/usr/bin/env python3
"""Makes the goldens that the model families are compared with, by Hugging Face's models with random weights.

Needs torch and transformers (bench/peers.sh sets them up). Every family gets a folder in tests/golden/families:

    config.json model.safetensors vocab.txt    a tiny model as transformers saves it, and a WordPiece vocabulary, which is the
                                               same for all: tokenizers are compared elsewhere
    grads.safetensors                          the gradient of the first batch's loss, under Hugging Face's names
    golden.json                                loss, logits before and after training, losses of twenty steps of AdamW

train.csv and test.csv beside the folders hold the texts, in the order of the batches. tests/golden/families/tokens has the same
for a label a token: folders, train.jsonl and test.jsonl; of a word those of its first token count. PyTorch computes in double; golden.json
also says how far its own float32 is from that. Dropout is 0.

Usage: make_families.py [--out DIR] [--task classification|tokens] [FAMILY ...]
"""

import argparse
import csv
import inspect
import json
import math
import os
import random
import re

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, BertTokenizer

from check import flat
from make_goldens import relative, rows_of, write_csv
from premises import check_ids

HERE = os.path.dirname(os.path.abspath(__file__))
VOCABULARY = os.path.join(HERE, "..", "golden", "parity", "tiny", "model", "vocab.txt")

BATCH = 4
STEPS = 20
TEST_ROWS = 6
LENGTH = 40
RATE = 2e-3

# What all tiny models share, by the names that most configurations have.
SHAPE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": LENGTH,
    "num_labels": 3,
}
# Where the padding has id 1, the first token has position 2.
ROBERTA = {"max_position_embeddings": LENGTH + 2, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
FAMILIES = {
    "bert": ("BertConfig", {}),
    "roberta": ("RobertaConfig", ROBERTA),
    "xlm-roberta": ("XLMRobertaConfig", ROBERTA),
    "camembert": ("CamembertConfig", ROBERTA),
    "distilbert": (
        "DistilBertConfig",
        {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": LENGTH},
    ),
    "electra": ("ElectraConfig", {"embedding_size": 12}),
    "albert": ("AlbertConfig", {"embedding_size": 12, "num_hidden_layers": 3}),
    # Buckets that begin within the texts, and none wider than they are.
    "deberta-v2": (
        "DebertaV2Config",
        {
            "type_vocab_size": 0,
            "position_biased_input": False,
            "relative_attention": True,
            "pos_att_type": "p2c|c2p",
            "share_att_key": True,
            "position_buckets": 16,
            "max_relative_positions": 40,
            "norm_rel_ebd": "layer_norm",
        },
    ),
    "modernbert": (
        "ModernBertConfig",
        {"num_hidden_layers": 4, "local_attention": 8, "hidden_size": 16, "pad_token_id": 0}
        | {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3},
    ),
    "mpnet": ("MPNetConfig", {"max_position_embeddings": LENGTH + 2, "layer_norm_eps": 1e-5}),
}
# By task: the class, the name of the label of class i, and the families.
TASKS = {
    "classification": (AutoModelForSequenceClassification, None, [name for name in FAMILIES if name != "bert"]),
    "tokens": (AutoModelForTokenClassification, ["O", "B-X", "I-X"], list(FAMILIES)),
}


def write_vocabulary(folder, pad):
    """The vocabulary with [PAD] at the id that the family has it at."""
    with open(VOCABULARY, encoding="utf-8") as file:
        tokens = file.read().split()
    tokens.insert(pad, tokens.pop(0))
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(tokens) + "\n")
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": LENGTH}
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)
    return BertTokenizer(os.path.join(folder, "vocab.txt"), model_max_length=LENGTH), len(tokens)


def make_model(folder, kind, changes, size, task):
    """Every parameter, biases and LayerNorms included, is random and matters."""
    shape = {"num_labels": SHAPE["num_labels"]} if "dim" in changes else SHAPE  # DistilBERT has names of its own
    auto, names, _ = TASKS[task]
    labels = {"id2label": dict(enumerate(names)), "label2id": {x: i for i, x in enumerate(names)}} if names else {}
    config = getattr(transformers, kind)(**{**shape, "vocab_size": size, **labels, **changes})
    torch.manual_seed(1)
    model = auto.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            parameter.copy_(centre + 0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)


def load(folder, dtype, task):
    config = transformers.AutoConfig.from_pretrained(folder)
    for name, value in config.to_dict().items():
        if "drop" in name and isinstance(value, float):
            setattr(config, name, 0.0)
    model = TASKS[task][0].from_pretrained(
        folder, config=config, attn_implementation="eager", dtype=torch.float32
    )
    return model.to(dtype)


def inputs_of(model, row):
    """An encoding as a batch of one; types where the model has them."""
    inputs = {name: torch.tensor([row[name]]) for name in ("input_ids", "attention_mask")}
    takes_types = "token_type_ids" in inspect.signature(model.forward).parameters
    if takes_types and getattr(model.config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = torch.tensor([row["token_type_ids"]])
    return inputs


def loss_of(model, batch):
    """One text at a time, without padding: in a window, padding that sees no token makes ModernBERT's numbers NaN. A text
    counts by its labels."""
    rows = list(zip(batch["encoded"], batch["labels"]))
    losses = [model(**inputs_of(model, row), labels=torch.tensor([label])).loss for row, label in rows]
    weights = [(torch.tensor(label) != -100).sum() for _, label in rows]
    return sum(loss * weight for loss, weight in zip(losses, weights)) / sum(weights)


def logits_of(model, encoded):
    model.eval()
    with torch.no_grad():
        logits = [model(**inputs_of(model, row)).logits[0].tolist() for row in encoded]
    if "first" not in encoded[0]:
        return logits
    return [[row[i] for i in tokens["first"]] for row, tokens in zip(logits, encoded)]


def sums_of(model):
    """Of each gradient the norm, and a sum of its cells by cosines."""
    sums = {}
    for name, p in model.named_parameters():
        if p.grad is not None:
            cells = p.grad.flatten().tolist()
            sums[name] = [math.hypot(*cells), sum(g * math.cos(i) for i, g in enumerate(cells))]
    return sums


def steps_of(model, batches, loss_of, rate=RATE):
    """A step of AdamW for each batch at a falling rate, as `ftc run` takes them with no options but the rate. Its losses, and what
    `sums_of` tells of the first step's gradients."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.01)
    losses, grads = [], None
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / len(batches))
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        losses.append(loss.item())
        grads = grads or sums_of(model)
        optimizer.step()
    return losses, grads


def train(folder, batches, tests, dtype, task):
    model = load(folder, dtype, task)
    losses, _ = steps_of(model, batches, loss_of)
    return {"loss": losses, "logits": logits_of(model, tests)}


def read_texts(out, tokenizer):
    """Encodings with labels, and those to test."""
    encode = lambda *texts: dict(tokenizer(*texts, truncation=True, max_length=LENGTH))
    with open(os.path.join(out, "train.csv"), encoding="utf-8", newline="") as file:
        rows = [(encode(row["text"], row["pair"]), int(row["label"])) for row in csv.DictReader(file)]
    with open(os.path.join(out, "test.csv"), encoding="utf-8", newline="") as file:
        return rows, [encode(row["text"]) for row in csv.DictReader(file)]


def read_words(out, tokenizer):
    """The same of words; an encoding's "first" has the places of its words' first tokens."""

    def encode(row):
        encoded = tokenizer(row["tokens"], is_split_into_words=True, truncation=True, max_length=LENGTH)
        words = encoded.word_ids()
        first = [i for i, word in enumerate(words) if word is not None and word not in words[:i]]
        names = TASKS["tokens"][1]
        labels = [-100] * len(words)
        for i in first:
            label = row["ner_tags"][words[i]]
            labels[i] = names.index(label) if label != -100 else -100
        return {**encoded, "first": first}, labels

    with open(os.path.join(out, "train.jsonl"), encoding="utf-8") as file:
        rows = [encode(json.loads(line)) for line in file]
    with open(os.path.join(out, "test.jsonl"), encoding="utf-8") as file:
        return rows, [encode(json.loads(line))[0] for line in file]


def make_golden(out, name, task):
    kind, changes = FAMILIES[name]
    folder = os.path.join(out, name)
    os.makedirs(folder, exist_ok=True)
    tokenizer, size = write_vocabulary(folder, changes.get("pad_token_id", getattr(transformers, kind)().pad_token_id))
    make_model(folder, kind, changes, size, task)

    rows, tests = (read_words if task == "tokens" else read_texts)(out, tokenizer)
    check_ids(tokenizer, [row["input_ids"] for row, _ in rows] + [row["input_ids"] for row in tests])
    parts = [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
    batches = [{"encoded": [row for row, _ in part], "labels": [label for _, label in part]} for part in parts]

    model = load(folder, torch.float64, task)
    loss = loss_of(model, batches[0])
    loss.backward()
    grads = {name: p.grad.float() for name, p in model.named_parameters() if p.grad is not None}
    save_file(grads, os.path.join(folder, "grads.safetensors"))
    run, single = (train(folder, batches, tests, dtype, task) for dtype in (torch.float64, torch.float32))
    golden = {
        "made_with": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__},
        "batch": BATCH,
        "rate": RATE,
        "parameters": model.num_parameters(exclude_embeddings=True),
        "loss": loss.item(),
        "before": logits_of(load(folder, torch.float64, task), tests),
        "losses": run["loss"],
        "after": run["logits"],
        "float32_error": {
            "losses": max(abs(a - b) / b for a, b in zip(single["loss"], run["loss"])),
            "after": relative(flat(single["logits"]), flat(run["logits"])),
        },
    }
    with open(os.path.join(folder, "golden.json"), "w", encoding="utf-8") as file:
        entries = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items()]
        file.write("{\n" + ",\n".join(entries) + "\n}\n")
    print(f"{name}: loss {loss.item():.6f}; PyTorch's float32: {golden['float32_error']}")


def write_texts(out):
    """Pairs of sentences, one of them too long; a test text that is a single word."""
    labels = SHAPE["num_labels"]
    rows = rows_of("reviews-train.csv", BATCH * STEPS)
    texts = [text.split(". ") for _, text in rows]
    texts[2][0] = " ".join(text for _, text in rows[4:8])
    write_csv(
        os.path.join(out, "train.csv"),
        [(i % labels, parts[0], parts[-1]) for i, parts in enumerate(texts)],
        ["label", "text", "pair"],
    )
    tests = rows_of("reviews-test.csv", TEST_ROWS)
    tests[1] = (0, "Ok")
    write_csv(os.path.join(out, "test.csv"), [(label % labels, text) for label, text in tests])


def write_words(out):
    """Words and punctuation with labels that are drawn, some without one, one sentence too long."""
    generator, names = random.Random(7), TASKS["tokens"][1]

    def sentence(text):
        words = re.findall(r"[^\s.,!?;]+|[.,!?;]", text)
        tags = [generator.choice(names) if generator.random() < 0.95 else -100 for _ in words]
        return json.dumps({"tokens": words, "ner_tags": tags}, ensure_ascii=False)

    rows = [text for _, text in rows_of("reviews-train.csv", BATCH * STEPS)]
    texts = [text.split(". ")[0] for text in rows]
    texts[2] = " ".join(rows[4:8])
    tests = [text.split(". ")[0] for _, text in rows_of("reviews-test.csv", TEST_ROWS)]
    for name, lines in (("train", texts), ("test", tests)):
        with open(os.path.join(out, f"{name}.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(sentence(text) + "\n" for text in lines)


def write_numbers(path, numbers):
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(map(str, numbers.tolist())) + "\n")


def write_buckets(out):
    """The buckets of MPNet's (key minus query) and DeBERTa-v3's (query minus key) relative positions, from -511 to 511."""
    distances = torch.arange(-511, 512)
    buckets = transformers.models.mpnet.modeling_mpnet.MPNetEncoder.relative_position_bucket(distances)
    write_numbers(os.path.join(out, "t5_buckets.txt"), buckets)
    buckets = transformers.models.deberta_v2.modeling_deberta_v2.make_log_bucket_position(distances, 256, 512)
    write_numbers(os.path.join(out, "deberta_buckets.txt"), buckets.long())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("families", nargs="*", metavar="FAMILY", help="all where none is named")
    parser.add_argument("--out", default=os.path.join(HERE, "..", "golden", "families"))
    parser.add_argument("--task", choices=TASKS, default="classification")
    args = parser.parse_args()
    out = os.path.join(args.out, "tokens") if args.task == "tokens" else args.out
    os.makedirs(out, exist_ok=True)
    if args.task == "tokens":
        write_words(out)
    else:
        write_texts(out)
        write_buckets(out)
    for name in args.families or TASKS[args.task][2]:
        make_golden(out, name, args.task)


if __name__ == "__main__":
    main()
