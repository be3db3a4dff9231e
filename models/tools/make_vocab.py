#!/usr/bin/env python3
"""Learns a WordPiece vocabulary from the text column of a CSV file; writes it as a Hugging Face
tokenizer folder.

The text is cleaned and cut into words as BERT's uncased tokenizer does. Words start as single characters
(`c`, `##a`, `##t`); the pair of neighbours that occurs most often is joined into a new piece, again and
again, until the vocabulary is full or no pair occurs twice. Ties go to the pair first in alphabetical
order, so that the same text always gives the same bytes.

Usage: make_vocab.py [--text FILE.csv] [--size N] [--max-length N] [--out DIR]
"""

import argparse
import collections
import csv
import itertools
import json
import os
import string
import unicodedata

HERE = os.path.dirname(os.path.abspath(__file__))
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def is_punctuation(char):
    return char in string.punctuation or unicodedata.category(char).startswith("P")


def words_of(text):
    """Lower-cased, accents stripped, cut at white space and around each punctuation mark."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    word = ""
    for char in plain:
        if char.isspace() or is_punctuation(char):
            if word:
                yield word
            word = ""
            if not char.isspace():
                yield char
        else:
            word += char
    if word:
        yield word


def learn(counts, size):
    """Returns the pieces for words with these counts: specials, characters, then joined pairs as found."""
    split = {word: [word[0]] + ["##" + c for c in word[1:]] for word in counts}
    letters = string.ascii_lowercase + string.digits
    characters = set(letters) | {"##" + c for c in letters} | set(string.punctuation)
    characters.update(piece for pieces in split.values() for piece in pieces)
    vocabulary = SPECIAL + sorted(characters)
    known = set(vocabulary)

    pairs = collections.Counter()
    for word, pieces in split.items():
        for pair in itertools.pairwise(pieces):
            pairs[pair] += counts[word]
    while len(vocabulary) < size and pairs:
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        if pairs[best] < 2:
            break
        joined = best[0] + best[1].removeprefix("##")
        if joined not in known:
            known.add(joined)
            vocabulary.append(joined)
        for word, pieces in split.items():
            if best not in itertools.pairwise(pieces):
                continue
            for pair in itertools.pairwise(pieces):
                pairs[pair] -= counts[word]
            split[word] = pieces = replace_pair(pieces, best, joined)
            for pair in itertools.pairwise(pieces):
                pairs[pair] += counts[word]
        pairs = +pairs  # drop what is used up
    return vocabulary


def replace_pair(pieces, pair, joined):
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(joined)
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def write(path, text):
    with open(path + ".part", "w", encoding="utf-8", newline="") as out:
        out.write(text)
    os.replace(path + ".part", path)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", default=os.path.join(HERE, "..", "data", "reviews-train.csv"))
    parser.add_argument("--size", type=int, default=2000, help="largest number of entries (default 2000)")
    parser.add_argument("--max-length", type=int, default=128, help="model_max_length to write (default 128)")
    parser.add_argument("--out", default=os.path.join(HERE, "..", "data", "tokenizer"))
    args = parser.parse_args()

    counts = collections.Counter()
    with open(args.text, encoding="utf-8", newline="") as source:
        for row in csv.DictReader(source):
            counts.update(words_of(row["text"]))
    vocabulary = learn(counts, args.size)

    os.makedirs(args.out, exist_ok=True)
    write(os.path.join(args.out, "vocab.txt"), "".join(piece + "\n" for piece in vocabulary))
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": args.max_length,
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
        "tokenize_chinese_chars": True,
        "strip_accents": None,
    }
    write(os.path.join(args.out, "tokenizer_config.json"), json.dumps(config, indent=2) + "\n")
    print(f"{len(vocabulary)} entries from {len(counts)} different words")


if __name__ == "__main__":
    main()
