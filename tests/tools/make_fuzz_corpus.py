#!/usr/bin/env python3
"""Writes tests/fuzz/corpus and tests/fuzz/words.dict: small inputs from which the fuzz targets start, made of this repository's files.

    tests/tools/make_fuzz_corpus.py build/ftc
"""
import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/fuzz/corpus"
MOST_BYTES = 4000

TINY = """model tiny
config {
  batch = 3
  max_length = 4
  vocab = 7
}
axis H = 4
axis B <= batch, V = vocab, C = 3
axis S ragged B <= max_length
input ids : i32[B, S] in V from tokens
input y : i32[B] in C from label
arg p : f32 = 0.1 as dropout
e = embedding("embedding", ids; V -> H)
x = mean(dropout(gelu(e), p); S)
logits = dot(x, param "head.weight" f32[C, H]; H) + param "head.bias" f32[C]
output loss = mean(cross_entropy(logits, y; C); B)
output logits as scores over C
train {
  optimizer = adamw
  lr = 1e-3
}
"""

MODELS = [
    "model a\naxis B <= 3, H = 4, I = 3\ninput x : f32[B, H]\noutput y = dot(x, param \"w\" f32[I, H]; H)\n",
    "model b\naxis B <= 3, H = 4\naxis S ragged B <= 4\naxis T = S\ninput x : f32[B, S, H]\n"
    "y = rename(x; S -> T)\na = softmax(dot(x, y; H); T)\noutput loss = mean(dot(a, y; T); B, S, H)\n",
    "model c\naxis B <= 3, V = 5, H = 3\naxis S ragged B <= 4\ninput i : i32[B, S] in V\n"
    "output loss = sum(gather(param \"t\" f32[V, H], V, i); B, S, H)\n",
    "model d\naxis B <= 2, H = 5\ninput x : f32[B, H]\nm = mean(x; H)\ny = (x - m) * rsqrt(mean((x - m) * (x - m); H) + 1e-5)\n"
    "output y = exp(-y * y)\noutput z = max(y; H)\n",
]


def write(target, name, data):
    if isinstance(data, str):
        data = data.encode()
    if len(data) <= MOST_BYTES or target in ("artifact", "manifest"):
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        (CORPUS / target / name).write_bytes(data)


def safetensors(tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, dtype, shape, raw in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def texts_of_models(ftc, scratch):
    for i, text in enumerate(MODELS + [TINY]):
        path = scratch / f"{i}.ir"
        path.write_text(text)
        made = subprocess.run([ftc, "compile", path, "--emit", "ir"], capture_output=True, text=True)
        if made.returncode:
            sys.exit(f"model {i}: {made.stderr}")
        write("ir", f"model-{i}", text)
        write("model", f"model-{i}", text)
    for path in sorted((ROOT / "tests/golden/language").glob("**/*.ir")):
        if path.name == "limits.ir":  # as much work as a text may make
            continue
        write("ir", path.name, path.read_bytes())
        write("model", path.name, path.read_bytes())
    dumps = scratch / "dumps"
    subprocess.run([ftc, "compile", scratch / f"{len(MODELS)}.ir", "--dump-after", "all", "--dump-dir", dumps, "--target", "generic",
                    "-o", scratch / "tiny.ftc"], check=True, capture_output=True)
    for path in sorted(dumps.glob("*.ir")):
        write("dump", path.name, path.read_text())


def artifacts(ftc, scratch):
    subprocess.run(["objcopy", "-O", "binary", "-j", ".ftc.manifest", scratch / "tiny.ftc", scratch / "manifest"], check=True)
    manifest = json.loads((scratch / "manifest").read_text())
    write("manifest", "tiny", json.dumps(manifest))
    for entry in manifest["program"]["entries"][1:]:  # the same with less in it
        entry["kernels"], entry["kernel_info"] = [], []
    write("manifest", "shorter", json.dumps(manifest, indent=1))
    # An object with the sections alone.
    source = scratch / "source"
    source.write_text("model a\n")
    text = scratch / "empty.s"
    text.write_text(".text\n")
    (scratch / "manifest").write_text(json.dumps(manifest))
    subprocess.run(["as", text, "-o", scratch / "empty.o"], check=True)
    for name, part in (("small", "source"), ("whole", "manifest")):
        made = scratch / f"{name}.o"
        args = ["--add-section", f".ftc.source={source}"]
        if part == "manifest":
            args += ["--add-section", f".ftc.manifest={scratch / 'manifest'}"]
        subprocess.run(["objcopy", *args, scratch / "empty.o", made], check=True)
        write("artifact", name, made.read_bytes())


def values():
    config = {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "hidden_size": 32, "num_attention_heads": 2,
              "layer_norm_eps": 1e-12, "hidden_act": "gelu", "id2label": {"0": "bad", "1": "good"}, "label2id": {"bad": 0, "good": 1},
              "pad_token_id": None, "is_decoder": False, "num_labels": 2, "x": [1, {"a": "\\u00e9\\ud83d\\ude00\n"}]}
    write("config", "bert", json.dumps(config))
    write("json", "config", json.dumps(config, indent=2))
    adapter = json.loads((ROOT / "tests/golden/lora/modernbert/adapter_config.json").read_bytes())
    write("adapter", "peft", json.dumps(adapter | {"base_model_name_or_path": "."}))
    adapter = {"peft_type": "LORA", "task_type": "TOKEN_CLS", "base_model_name_or_path": "missing", "r": 4, "lora_alpha": 8, "lora_dropout": 0.1,
               "target_modules": "all-linear", "modules_to_save": ["classifier"], "bias": "none", "inference_mode": True, "init_lora_weights": True}
    write("adapter", "saved", json.dumps(adapter))
    write("json", "values", '[1e5, -0.0, true, false, null, "\\u0041\\n", {"a": [[]]}, 1E-7]')
    write("json", "broken", '{"a": [1, 2,, "\\ud800"}')
    args = {"output_dir": "out", "learning_rate": 2e-5, "num_train_epochs": 3, "per_device_train_batch_size": 16, "seed": 1,
            "lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": 0.5}, "eval_strategy": "steps", "eval_steps": 10,
            "fp16": False, "optim": "adamw_torch", "warmup_ratio": 0.1, "max_steps": -1, "save_total_limit": 2,
            "metric_for_best_model": "accuracy", "greater_is_better": True, "label_smoothing_factor": 0.1}
    write("args", "usual", json.dumps(args))
    write("args", "few", json.dumps({"max_steps": 10, "weight_decay": 0.01, "unknown_field": 1}))


def checkpoints(ftc, scratch):
    rows = scratch / "rows.csv"
    rows.write_text("text,label\n" + "".join(f"the soup was {'good' if i % 2 else 'bad'} {i},{i % 2}\n" for i in range(40)))
    out = scratch / "out"
    subprocess.run([ftc, "run", ROOT / "models/bert-cls.ir", "--set", "hidden=8", "--set", "layers=1", "--set", "heads=2", "--set",
                    "intermediate=8", "--train", rows, "--output", out, "--batch", "8", "--max-steps", "15", "--save-strategy", "steps",
                    "--save-steps", "10", "--no-report"], check=True, capture_output=True, cwd=scratch)
    resume = json.loads((out / "checkpoint-15/resume.json").read_text())
    state = json.loads((out / "checkpoint-15/trainer_state.json").read_text())
    state["log_history"] = state["log_history"][-3:]
    print("resume.json:", resume)
    for key, value in {"data": 7, "examples": 40}.items():
        for part in (resume, resume.get("identity", {}), resume.get("run", {})):
            if key in part and not isinstance(part[key], dict):
                part[key] = value
    both = json.dumps(resume).encode() + b"\0" + json.dumps(state).encode()
    assert len(both) <= MOST_BYTES, len(both)  # else what is there, of an earlier form, would stay
    write("resume", "step-15", both)
    write("config", "saved", (out / "config.json").read_bytes())


def byte_characters():
    """The characters that stand for the 256 bytes in byte-level vocabularies (GPT-2's bytes_to_unicode): printable ones for themselves."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(b) for b in own] + [chr(0x100 + i) for i in range(256 - len(own))]


def tokenizers():
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "soup", "was", "cold", "##ish", ",", ".", "s", "##s", "##o", "x", "<", ">"]
    config = {"do_lower_case": True, "tokenize_chinese_chars": True, "strip_accents": None, "cls_token": "[CLS]", "model_max_length": 512,
              "mask_token": {"content": "[MASK]", "lstrip": True}, "unk_token": "[UNK]"}
    write("vocab", "bert", "\n".join(vocab).encode() + b"\0" + json.dumps(config).encode())
    write("vocab", "alone", "\r\n".join(vocab))
    special = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
               for i, t in enumerate(vocab[:5])]
    template = {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                           {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
                "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                         {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
                         {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
                "special_tokens": {t: {"id": t, "ids": [i], "tokens": [t]} for i, t in enumerate(vocab) if t in ("[CLS]", "[SEP]")}}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
                 "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                                "lowercase": True},
                 "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": template,
                 "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
                 "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                           "vocab": {t: i for i, t in enumerate(vocab)}}}
    write("tokenizer_json", "wordpiece", json.dumps(tokenizer))
    byte_level = dict(tokenizer, normalizer=None, added_tokens=[],
                      pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
                      post_processor={"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0], "trim_offsets": True,
                                      "add_prefix_space": False},
                      model={"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                             "end_of_word_suffix": "", "fuse_unk": False,
                             "vocab": {t: i for i, t in enumerate(["<s>", "</s>", *byte_characters(), "th", "the", "\u0120the"])},
                             "merges": ["t h", "th e", "\u0120 the"]})
    write("tokenizer_json", "bpe", json.dumps(byte_level, ensure_ascii=False, separators=(",", ":")))
    merges, roberta = byte_level["model"]["merges"], ["<s>", "</s>", "<pad>", "<unk>", "<mask>", *byte_characters(), "th", "the", "\u0120the"]
    for name, tokens, config in (("roberta", roberta, {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": True}),
                                 ("gpt2", ["<|endoftext|>", *roberta[5:]], {"tokenizer_class": "GPT2Tokenizer"})):
        files = json.dumps({t: i for i, t in enumerate(tokens)}, ensure_ascii=False, separators=(",", ":")), "\n".join(["#version: 0.2", *merges]), json.dumps(config)
        write("merges", name, "\0".join(files))
    unigram = dict(tokenizer, added_tokens=[], normalizer={"type": "Sequence", "normalizers": [{"type": "NFKC"}]},
                   pre_tokenizer={"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"}, post_processor=None,
                   model={"type": "Unigram", "unk_id": 0, "byte_fallback": False,
                          "vocab": [["<unk>", 0.0], ["\u2581the", -1.5], ["\u2581", -2.0], ["t", -3.0], ["s", -3.5]]})
    write("tokenizer_json", "unigram", json.dumps(unigram))


def rows():
    write("csv", "plain", 'text,label\n"a, ""b""\nc",1\nd,0\n\ne,2\n')
    write("csv", "crlf", "sentence;stars\r\nx;1\r\ny;2\r\n")
    write("csv", "bare", "\ufeffgood,1\nbad,0\n")
    write("tsv", "plain", "text\tlabel\na \"b\" c\t1\nd\t0\n")
    write("tsv", "quoted", 'text\tlabel\n"a\tb"\t1\n"c"\t0\n')
    write("conll", "blanks", "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\nPeter NNP B-PER\n")
    write("conll", "tabs", "a b\tO\r\n\"c\t\tB\r\n\r\nd\tI-x\r\n")
    write("jsonl", "words", '{"tokens": ["a", 1, true], "ner_tags": [0, "B-x", -100]}\n{"tokens": [], "ner_tags": []}\n')
    write("jsonl", "lines", '{"text": "a", "label": 1}\n{"text": "b\\u00e9", "label": "x", "more": [1, 2]}\n\n{"label": null, "text": ""}\n')
    write("jsonl", "array", '[{"text": "a", "label": [0, 1]}, {"text": "b", "label": []}]')
    write("csv", "gzip", bytes.fromhex("1f8b08000000000002ff2b49ad28d1c9494c4acde14ad431e4020034d3fa7b0f000000"))


def weights():
    f32 = struct.pack("<6f", 1, 2, 3, -0.5, float("inf"), 0)
    write("safetensors", "mixed", safetensors([("a.weight", "F32", [2, 3], f32), ("b", "F16", [2], b"\0\x3c\0\xbc"),
                                              ("c", "BF16", [2], b"\x80\x3f\0\0"), ("d", "F64", [1], struct.pack("<d", 2.5)),
                                              ("e", "I64", [1], b"\1" + 7 * b"\0"), ("none", "F32", [0], b"")]))
    write("safetensors", "scalar", safetensors([("s", "F32", [], struct.pack("<f", 1))]))


def graphs():
    for i in range(8):
        write("graph", f"seed-{i}", bytes((i * 37 + k * 91 + k * k * 13) % 256 for k in range(2 + 24 * i)))


def words():
    """What parsers compare with: names in the library, keys of the JSON above."""
    found = set()
    for path in (ROOT / "ir/std").glob("*.ir"):
        found |= set(re.findall(r"[a-z_]{3,}", path.read_text()))
    for op in re.findall(r"^OP\((\w+)\)", (ROOT / "ir/ops/ops.def").read_text(), re.M):
        found.add(op)
    for path in CORPUS.glob("*/*"):
        if path.parent.name in ("config", "tokenizer_json", "resume", "args", "vocab", "merges"):
            found |= set(re.findall(r'"([A-Za-z_]{3,})"', path.read_text(errors="ignore")))
    found |= {"f32[", "bf16", "ragged", "input", "output", "axis", "param", "1e309", "9223372036854775807", "-1", "\\\\u0000", "[PAD]"}
    lines = [f'"{word}"' for word in sorted(found)]
    (ROOT / "tests/fuzz/words.dict").write_text("# Made by tests/tools/make_fuzz_corpus.py.\n" + "\n".join(lines) + "\n")


def main():
    ftc = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        texts_of_models(ftc, scratch)
        artifacts(ftc, scratch)
        values()
        checkpoints(ftc, scratch)
    tokenizers()
    rows()
    weights()
    graphs()
    words()


main()
