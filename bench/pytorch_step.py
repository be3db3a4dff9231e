#!/usr/bin/env python3
"""One training step of Hugging Face's BERT in PyTorch, eager or through torch.compile; see peer.py for the protocol."""

import json
import pathlib
import sys

import peer

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "python/ftc"))
from _contender import torch_training  # the step that ftc.benchmark times, which needs nothing of the package


def build(args):
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=args.vocab,
            hidden_size=args.hidden,
            num_hidden_layers=args.layers,
            num_attention_heads=args.heads,
            intermediate_size=args.intermediate,
            max_position_embeddings=args.positions,
            num_labels=args.labels,
            hidden_dropout_prob=args.dropout,
            attention_probs_dropout_prob=args.dropout,
        )
    )
    step = torch_training(torch, model, vars(args), args.compile, args.fused_adamw)
    batches = read_batches(torch, args) if args.batches else [synthetic_batch(torch, args)]
    turn = 0

    def next_step():
        nonlocal turn
        step(batches[turn % len(batches)])
        turn += 1

    return next_step


def synthetic_batch(torch, args):
    ids = torch.randint(0, args.vocab, (args.batch, args.length))
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.randint(0, args.labels, (args.batch,)),
    }


def read_batches(torch, args):
    """Real batches, padded as the tutorial does (--pad max_length) or to the longest of each batch (--pad longest)."""
    with open(args.batches, encoding="utf-8") as file:
        stored = json.load(file)
    batches = []
    for batch in stored:
        width = args.length if args.pad == "max_length" else max(map(len, batch["input_ids"]))
        rows = batch["input_ids"]
        batches.append(
            {
                "input_ids": torch.tensor([row + [0] * (width - len(row)) for row in rows]),
                "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows]),
                "labels": torch.tensor(batch["labels"]),
            }
        )
    return batches


if __name__ == "__main__":
    parser = peer.options(__doc__)
    parser.add_argument("--compile", action="store_true", help="through torch.compile")
    parser.add_argument("--fused-adamw", action="store_true", help="AdamW's fused implementation")
    parser.add_argument(
        "--batches", help='JSON list of {"input_ids": [[..]], "labels": [..]} instead of synthetic ones'
    )
    parser.add_argument("--pad", choices=["max_length", "longest"], default="longest")
    name = "torch.compile" if parser.parse_args().compile else "PyTorch eager"
    peer.main(name, build, parser)
