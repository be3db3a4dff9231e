#!/usr/bin/env python3
"""Awkward tables whose truth is known, as Python's csv, json and pandas write them, read back equal.

    tables.py READ_TABLES [COUNT [SEED]]

READ_TABLES is built from tests/read_tables.c. Without pandas its share of the files is left out, and said so.
"""

import csv
import gzip
import io
import json
import pathlib
import random
import subprocess
import sys
import tempfile

try:
    import pandas
except ImportError:
    pandas = None

CSV, TSV, JSON = 1, 2, 3
YES, NO = 1, 2

# What matters to a reader, and what it should not mind.
PIECES = ['"', '""', "'", ",", ";", "|", "\t", "\n", "\r\n", "\r", " ", "  ", "\\", "\\n", "#", "{", "]", "[]",
          "\u00e9", "\u6f22", "\U0001f600", "\u2028", "\x85", "\u00a0", "\ufeff", "\x0b", "a", "b c", "0", "-1", "1e3",
          "nan", "null", "=1+1", "text", "\\u0000"]  # fmt: skip
LABELS = ["0", "1", "7", "-3", "2.5", "good", "very bad", "a,b", 'q"q', "\u00fc", "a;b", "x\ty"]


def texts(r, allowed):
    """Words of pieces that are allowed; sometimes nothing."""
    pieces = [p for p in PIECES if allowed(p)]
    return "".join(r.choice(pieces) for _ in range(r.choice([0, 1, 2, 3, 5, 9]))).lstrip("\ufeff")  # no mark of order


def table(r, allowed):
    return [[texts(r, allowed), r.choice([s for s in LABELS if allowed(s)])] for _ in range(r.randint(1, 6))]


def without(characters):
    return lambda piece: not any(c in piece for c in characters)


def columns(r, rows, names, request):
    """The table with the columns in some order, others beside them, and a header or none."""
    order = r.choice([["text", "label"], ["label", "text"], ["id", "text", "label"], ["label", "text", "id"]])
    cells = [[{"text": t, "label": s, "id": str(i)}[name] for name in order] for i, (t, s) in enumerate(rows)]
    request["header"] = r.choice([0, YES]) if names else NO
    if not names or r.random() < 0.3:
        request["text"], request["label"] = str(order.index("text")), str(order.index("label"))
    return order, ([order] if names else []) + cells


def write_csv(r, request):
    """By the csv module, quoted where it must be, or everywhere, or all but numbers."""
    separator, end = r.choice(",,;\t|"), r.choice(["\n", "\r\n", "\r"])
    quoting = r.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
    # The module quotes only the line ends that it writes itself, so others may not stand alone.
    others = {"\n": "\r", "\r\n": "", "\r": "\n"}[end] if quoting == csv.QUOTE_MINIMAL else ""
    rows = table(r, without(others))
    _, cells = columns(r, rows, r.random() < 0.7, request)
    out = io.StringIO()
    csv.writer(out, delimiter=separator, quoting=quoting, lineterminator=end).writerows(cells)
    request["format"] = TSV if separator == "\t" else CSV
    if separator not in ",\t":
        request["delimiter"] = ord(separator)
    if separator == "\t" and quoting == csv.QUOTE_MINIMAL and not any('"' in c for row in cells for c in row):
        request["quoting"] = r.choice([0, YES])
    text = out.getvalue()
    return rows, text[: -len(end)] if r.random() < 0.3 else text


def write_raw(r, request):
    """Lines with tabs between fields, where quotes are characters."""
    rows = table(r, without("\t\n\r"))
    if all(t.count('"') != 1 for t, _ in rows):
        request["quoting"] = NO
    else:  # one that has no end tells
        rows = [['"x' + t.replace('"', ""), s] for t, s in rows]
        rows = [[t, s.replace('"', "")] for t, s in rows]
    names = r.random() < 0.5
    request["header"] = YES if names else NO
    request["text"], request["label"] = ("text", "label") if names else ("0", "1")
    request["format"] = TSV
    end = r.choice(["\n", "\r\n"])
    lines = [["text", "label"]] * names + rows
    return rows, "".join("\t".join(line) + end for line in lines)


def write_lines(r, request):
    """JSON, an object a line."""
    rows = table(r, lambda piece: True)
    request["format"] = JSON
    end = r.choice(["\n", "\r\n", "\n\n"])
    ascii_only = r.random() < 0.5
    objects = [{"text": t, "label": s, "more": [1, {"x": "]"}]} for t, s in rows]
    return rows, "".join(json.dumps(o, ensure_ascii=ascii_only) + end for o in objects)


def write_array(r, request):
    rows = table(r, lambda piece: True)
    request["format"] = JSON
    objects = [{"label": s, "text": t} | ({"more": None} if r.random() < 0.5 else {}) for t, s in rows]
    indent = r.choice([None, 0, 1, 2, "\t"])
    return rows, json.dumps(objects, indent=indent, ensure_ascii=r.random() < 0.5)


def write_pandas(r, request):
    end = "\n"
    kind = r.choice(["csv", "tsv", "records", "lines"])
    rows = table(r, without("\r") if kind in ("csv", "tsv") else lambda piece: True)
    frame = pandas.DataFrame(rows, columns=["text", "label"])
    if kind in ("csv", "tsv"):
        separator = "\t" if kind == "tsv" else r.choice(",;")
        request["format"] = TSV if kind == "tsv" else CSV
        if separator == ";":
            request["delimiter"] = ord(separator)
        if kind == "tsv":  # unless all texts or none are quoted, only the file as a whole tells
            request["quoting"] = YES if not any('"' in c or "\t" in c or "\n" in c for row in rows for c in row) else 0
        quoting = r.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
        return rows, frame.to_csv(sep=separator, index=r.random() < 0.5, quoting=quoting, lineterminator=end)
    request["format"] = JSON
    return rows, frame.to_json(orient="records", lines=kind == "lines", force_ascii=r.random() < 0.5)


def encode(r, text, request):
    """The file's bytes: in some encoding, packed or not."""
    encoding = r.choice(["utf-8"] * 4 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin1", "cp1252", "utf-7"])
    try:
        data = text.encode(encoding)
    except UnicodeEncodeError:
        encoding, data = "utf-8", text.encode()
    if encoding not in ("utf-8", "utf-8-sig") and (encoding not in ("utf-16", "utf-32") or r.random() < 0.5):
        request["encoding"] = encoding
    if encoding.startswith("utf-8") and r.random() < 0.2:
        request["encoding"] = encoding
    return gzip.compress(data) if r.random() < 0.2 else data


def main():
    program, count, seed = sys.argv[1], int((sys.argv[2:] + ["4000"])[0]), int((sys.argv[3:] + ["1"])[0])
    writers = [write_csv, write_csv, write_raw, write_lines, write_array] + [write_pandas] * (2 if pandas else 0)
    truths, requests = [], []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            r = random.Random(seed * 1000003 + i)
            writer = r.choice(writers)
            request = {"path": str(pathlib.Path(folder) / str(i)), "writer": writer.__name__}
            rows, text = writer(r, request)
            pathlib.Path(request["path"]).write_bytes(encode(r, text, request))
            truths.append([cell for row in rows for cell in row])
            requests.append(request)
        lines = "".join(json.dumps(request) + "\n" for request in requests)
        answers = subprocess.run([program], input=lines, stdout=subprocess.PIPE, text=True, check=True).stdout
        answers = [json.loads(line) for line in answers.split("\n") if line]
        assert len(answers) == count, f"{len(answers)} answers for {count} files"
        wrong = [i for i in range(count) if answers[i] != truths[i]]
        for i in wrong[:5]:
            print(f"file {i}: {requests[i]}\n  bytes    {pathlib.Path(requests[i]['path']).read_bytes()!r}")
            print(f"  expected {truths[i]!r}\n  read     {answers[i]!r}")
    print(f"{count - len(wrong)} of {count} files are read back equal{'' if pandas else '; none of pandas, which is not here'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
