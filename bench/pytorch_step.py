#!/usr/bin/env python3
"""One training step of Hugging Face's BERT in PyTorch, eager or through torch.compile; see peer.py for the protocol.

With --ranks N it is one of N processes of DistributedDataParallel over gloo, which meet by a file; --batches are then
those of all of them together.
"""

import json
import os
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
    config = BertConfig(
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
    if args.pretrained:
        model = BertForSequenceClassification.from_pretrained(args.pretrained, config=config)
    else:
        model = BertForSequenceClassification(config)
    sent = 0
    if args.ranks > 1:
        model, sent = distribute(torch, model, args)
    step = torch_training(torch, model, vars(args), args.compile, args.fused_adamw, args.precision == "bf16")
    batches = read_batches(torch, args) if args.batches else [synthetic_batch(torch, args)]
    turn = 0

    def next_step():
        nonlocal turn
        step(batches[turn % len(batches)])
        turn += 1

    next_step.told = {"bytes_sent": sent}
    return next_step


def distribute(torch, model, args):
    """The model as one of several that average their gradients, and the bytes that a ring sends for that."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{args.meeting}", rank=args.rank, world_size=args.ranks
    )
    gradients = sum(p.numel() * p.element_size() for p in model.parameters())
    return torch.nn.parallel.DistributedDataParallel(model), 2 * (args.ranks - 1) * gradients // args.ranks


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
        batch = {key: rows[args.rank * args.batch :][: args.batch] for key, rows in batch.items()}
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
    parser.add_argument("--pretrained", help="directory of weights instead of random ones")
    parser.add_argument("--meeting", help="file by which --ranks meet, absolute; made by them")
    parser.add_argument("--pad", choices=["max_length", "longest"], default="longest")
    name = "torch.compile" if parser.parse_args().compile else "PyTorch eager"
    peer.main(name, build, parser)
