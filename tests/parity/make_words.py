#!/usr/bin/env python3
"""Makes the goldens of tests/test_words.c: tokens of words as Hugging Face's tokenizers cut them, and seqeval's scores.

Needs tokenizers and seqeval. In tests/golden/words:

    bpe unigram    tokenizer.json each, trained on a few sentences: byte-level BPE without add_prefix_space, Unigram
    words.jsonl    {"tokenizer", "words", "max_length", "ids", "word_ids"}: is_pretokenized=True, with add_prefix_space, which
                   transformers asks for where words go into byte-level BPE; cut to max_length from the right
    reads.jsonl    {"tokenizer", "reads"}: what each token decodes to by itself
    spans.txt      of two sentences each: labels | predictions | accuracy precision recall f1 | and the rows of
                   classification_report, each with its name, precision, recall, f1 and support; sentences parted by " / "

Usage: make_words.py
"""

import json
import os
import random
import warnings

from seqeval.metrics import accuracy_score, classification_report, f1_score, precision_score, recall_score
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")
OUT = os.path.join(GOLDEN, "words")

SENTENCES = [
    "EU rejects German call to boycott British lamb .",
    "Peter Blackburn lives in Zürich and doesn't like 3,000 rainy days a year .",
    "hello-world is the first program that people write , isn't it ?",
    "The naïve café owner in New York sold unhappy unaffable lambs to the United Nations .",
]
WORDS = [
    ["EU", "rejects", "German", "call", "to", "boycott", "British", "lamb", "."],
    ["Peter", "Blackburn", "doesn't", "like", "3,000", "days", "in", "Zürich", ",", "hello-world", "!"],
    ["", "a", "", "two words", " blanks ", "\u00a0", "日本語", "🙂", "naïve", ""],
    ["<mask>", "[MASK]", "a[MASK]b", "a<mask>b", "[SEP]", "</s>"],
    [],
    ["unaffable"] * 9,
]


def train(name, tokenizer, trainer):
    folder = os.path.join(OUT, name)
    os.makedirs(folder, exist_ok=True)
    tokenizer.train_from_iterator(SENTENCES * 8, trainer)
    begin, end = tokenizer.token_to_id("<s>"), tokenizer.token_to_id("</s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", begin), ("</s>", end)]
    )
    tokenizer.save(os.path.join(folder, "tokenizer.json"))


def make_tokenizers():
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    train("bpe", bpe, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet))
    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    train("unigram", unigram, trainers.UnigramTrainer(vocab_size=150, special_tokens=special, unk_token="<unk>"))


def make_ids():
    lines = []
    for name in ("words/bpe", "words/unigram", "tokenizer/accents", "tokenizer/added"):
        with open(os.path.join(GOLDEN, name, "tokenizer.json"), encoding="utf-8") as file:
            text = json.load(file)
        if text["model"]["type"] == "BPE":
            text["pre_tokenizer"]["add_prefix_space"] = True
        tokenizer = Tokenizer.from_str(json.dumps(text))
        for words in WORDS:
            for length in (100, 8):
                tokenizer.no_padding()
                tokenizer.enable_truncation(length)
                encoded = tokenizer.encode(words, is_pretokenized=True)
                ids = [-1 if word is None else word for word in encoded.word_ids]
                line = {"tokenizer": name, "words": words, "max_length": length, "ids": encoded.ids, "word_ids": ids}
                lines.append(json.dumps(line, ensure_ascii=False))
    with open(os.path.join(OUT, "words.jsonl"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def make_reads():
    lines = []
    for name, decoder in (("words/bpe", decoders.ByteLevel()), ("words/unigram", decoders.Metaspace())):
        tokenizer = Tokenizer.from_file(os.path.join(GOLDEN, name, "tokenizer.json"))
        tokenizer.decoder = decoder
        ids = range(tokenizer.get_vocab_size())
        line = {"tokenizer": name, "reads": [tokenizer.decode([i], skip_special_tokens=False) for i in ids]}
        lines.append(json.dumps(line, ensure_ascii=False))
    with open(os.path.join(OUT, "reads.jsonl"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def make_spans():
    random.seed(5)
    warnings.simplefilter("ignore")
    schemes = [
        ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
        ["O", "B-PER", "I-PER", "E-PER", "S-PER", "B-LOC", "I-LOC", "E-LOC", "S-LOC"],
        ["O", "B", "I"],
        ["O", "I-A-B", "I-A", "B-A-B"],
    ]
    lines = []
    for number in range(400):
        tags = schemes[number % len(schemes)]
        truth = [[random.choice(tags) for _ in range(random.randrange(1, 12))] for _ in range(2)]
        wrong = random.choice([0.0, 0.1, 0.4])
        found = [[random.choice(tags) if random.random() < wrong else tag for tag in row] for row in truth]
        if number % 7 == 0:
            found = [["O"] * len(row) for row in truth]
        scores = [score(truth, found) for score in (accuracy_score, precision_score, recall_score, f1_score)]
        rows = [" / ".join(" ".join(row) for row in rows) for rows in (truth, found)]
        report = classification_report(truth, found, output_dict=True)
        table = [" ".join([name.split()[0], *(repr(float(x)) for x in row.values())]) for name, row in report.items()]
        lines.append(" | ".join([*rows, " ".join(repr(float(score)) for score in scores), *table]))
    with open(os.path.join(OUT, "spans.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    make_tokenizers()
    make_ids()
    make_reads()
    make_spans()
