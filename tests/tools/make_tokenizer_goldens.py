"""Makes the goldens of tests/test_tokenizer.c with Hugging Face's tokenizers.

    make_tokenizer_goldens.py small                 tests/golden/tokenizer: own small vocabulary, the torture texts
    make_tokenizer_goldens.py codepoints            … and a hash for what each normalizer does to every code point
    make_tokenizer_goldens.py shared DATA           … and hashes of the ids of the data sets in DATA (../shared/data)

Needs transformers, tokenizers and numpy.
"""
import csv
import json
import pathlib
import random
import sys

import numpy as np
from tokenizers import AddedToken, Tokenizer, models, normalizers as N, pre_tokenizers as P, processors
from transformers import BertTokenizerFast

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "tokenizer"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

# ---------------------------------------------------------------------------- the small vocabulary

WORDS = """the a an and of to is was were it this that food good bad very un happy affable ##affable ##able ##ly ##ing ##ed
##s ##er ##est play run ##ning walk table eat Eat EAT Istanbul istanbul i̇stanbul strasse straße naïve naive café cafe
Über über uber ##ber ##ing ##s ##'s don ##t won 1 12 123 ##23 ##3 2024 ##24 ... n't hello world Hello World ##world
mask sep cls unk ##k pad [sep] новый мир привет Привет ##вет γειά σου Σίσυφος σισυφος ##ος ##οσ ##ς ##σ سلام ##لام مرحبا
नमस्ते ##स ##ते ##त สวัสดี 안녕 ᄋ ##ᅡ ##ᆫ ᄋ ##ᄂ ##ᅧ ##ᆼ 한 中 文 国 日 本 ひ ら が な ##ら ##が カ ##タ é É e ##́ ##ı ı ß ##ß ﬁ fi ##fi ½ ² ™ tm 🙂 👨 ##👩 ##\u200d ❤ ##️ 🇩 ##🇪
$ € £ ¥ ₿ + − × ÷ – — “ ” ‘ ’ « » ¿ ¡ 。 、 「 」 ・ … · • § ¶ ° ª º ǆ ǅ ##ǆ ﷺ صلى ##الله""".split()


def small_vocabulary():
    tokens = list(SPECIAL)
    singles = [chr(c) for c in range(0x21, 0x7F)]
    letters = [c for c in singles if c.isalnum()]
    for token in singles + ["##" + c for c in letters] + WORDS:
        if token not in tokens:
            tokens.append(token)
    return tokens


# ---------------------------------------------------------------------------- the torture texts

TEXTS = [
    "The food was good.", "  leading and trailing\t\n", "HELLO World hello-world", "unhappy unaffable, running!",
    "don't won't it's n't ...", "a  b\tc\nd\re\r\nf", "1 12 123 1234 2024", "...!!!???", "$5 + 3% = ~7^2 `x` |y|",
    "x" * 100, "x" * 101, "é" * 100, "é" * 101, "e\u0301" * 100, "a" * 5000, "the" * 40, "中" * 120,
    "naïve café Über strasse straße STRASSE", "na\u0131ve \u0130stanbul ISTANBUL \u0130", "e\u0301 E\u0301 \u0301 \u0301e",
    "Å Å Å", "q\u0307\u0323 q\u0323\u0307", "a\u0345\u0301\u0327b", "ΣΊΣΥΦΟΣ Σίσυφος ς Σ", "ǅ Ǆ ǆ ŉ ẞ ﬁ ﬂ ﬃ",
    "Привет, новый мир!", "γειά σου Κόσμε", "مرحبا سلام صلى ﷺ", "नमस्ते दुनिया", "สวัสดีชาวโลก", "안녕하세요 한국", "中文国 日本",
    "ひらがな カタカナ ｶﾀｶﾅ がか\u3099", "我爱the中国food", "\U00020000\U0002A6DF\U0002B820\U0002B91F\U0002B920\U0002F800豈", "שָׁלוֹם", "ქართული ᲥᲐᲠᲗᲣᲚᲘ",
    "Ꭰꭰ ᏸ Ᏸ", "𐐀𐐨 𝐀𝒜𝟘", "🙂 ❤️ 👨‍👩‍👧 🇩🇪 👍🏽", "½ ² ™ ª º ℃ Ⅳ ①", "zero\u200bwidth\u200cjoin\u200dwords\ufeff", "soft\u00adhyphen",
    "tab\x01bell\x07esc\x1bdel\x7fx\x80y\x85z", "nb\xa0sp\u2003em\u3000id\u2028ls\u2029ps\u1680og\u180emv\u202fnn\u205fmm",
    "vt\x0bff\x0cfs\x1cgs\x1d", "\ufffd replacement \ufffe\uffff \U0010ffff", "\ue000 private \U000f0000", "\u0378 unassigned \u0e5c",
    "“quotes” ‘single’ «guillemets» –—…", "¿qué? ¡sí! 。、「」・", "a·b•c§d¶e°f", "\u166d \u2e43 \u061d \u111c9", "₿€£¥ +−×÷ ∑∞ ⅓",
    "[CLS] [SEP] [PAD] [MASK] [UNK]", "a[MASK]b [MASK].[MASK] [ MASK ] [mask] [Mask]", "[SEP][SEP] [CLS", "[[MASK]] ]MASK[", "[UNK]ing [PAD]s",
    "##ing ##s # # ##", "[unused0] <s> </s>", "Ünïcödé ÀÉÎÕÜ àéîõü", "ﷺ ㎏ ﬀ ㌀", "ㄱ ㅏ ᄋ ᅡ ᆫ 각", "e\x01\u0301 \u0345\x01\u0301",
    "A\u030a\u0301 \u1fef \u037e \u212a \u2126", "\u1e9e \u0130\u0307 i\u0307", "word\u0300\u0301\u0302\u0303\u0304\u0305word", "\U0001d15e \U00011938", "",
    " ", "\u200b", ".", "[MASK]",
]

PAIRS = [("the food", "was good"), ("a b c d e f g h", "i j"), ("a b", "c d e f g h i j k l"), ("a b c d e f g", "h i j k l m n"),
         ("a b c d e f g h", "i j k l m n o p"), ("a b c d e f g h i j k l m n o p", "q r s t u v w x y z"),
         ("a b c d e f g h i j k l", "m n o p q r s t u v w x y z"), ("[SEP]", "[MASK] é"), ("x" * 101, "中文")]


def random_texts(count):
    r = random.Random(20240607)
    ranges = [(0x21, 0x7F)] * 4 + [(0xA0, 0x250), (0x300, 0x370), (0x370, 0x700), (0x900, 0x1200), (0x1E00, 0x2100), (0x2000, 0x2070),
                                   (0x3000, 0x3100), (0x4E00, 0xA000), (0xAC00, 0xD7A4), (0xF900, 0xFB10), (0x10000, 0x20000)]
    for _ in range(count):
        chosen = r.sample(ranges, 3) + [(0x61, 0x7B)] * 3 + [(0x20, 0x21)]
        yield "".join(chr(r.randrange(*r.choice(chosen))) for _ in range(r.randrange(4, 24)))


# ---------------------------------------------------------------------------- the small goldens


def with_vocabulary(path, lower):
    tokenizer = BertTokenizerFast(str(path), do_lower_case=lower)._tokenizer
    tokens = path.read_text(encoding="utf-8").split("\n")[:-1]
    assert [tokenizer.token_to_id(t) for t in tokens] == list(range(len(tokens))), f"{path} is not what the tokenizer has"
    return tokenizer


def bert(directory, lower):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "vocab.txt").write_text("".join(t + "\n" for t in small_vocabulary()), encoding="utf-8")
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": lower, "model_max_length": 64 if lower else 1e30}
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return with_vocabulary(directory / "vocab.txt", lower)


def pipeline(directory, normalizer, pre_tokenizer, post_processor=None, added=()):
    directory.mkdir(parents=True, exist_ok=True)
    tokens = small_vocabulary()
    tokenizer = Tokenizer(models.WordPiece({t: i for i, t in enumerate(tokens)}, unk_token="[UNK]"))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    cls, sep = tokens.index("[CLS]"), tokens.index("[SEP]")
    tokenizer.post_processor = post_processor or processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=[("[CLS]", cls), ("[SEP]", sep)])
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens(list(added))
    # To be ignored by whoever reads the file.
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=16)
    (directory / "tokenizer.json").write_text(tokenizer.to_str() + "\n", encoding="utf-8")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def small_tokenizers():
    sep, cls = 3, 2
    yield "uncased", bert(GOLDEN / "uncased", True)
    yield "cased", bert(GOLDEN / "cased", False)
    yield "nfkc", pipeline(GOLDEN / "nfkc", N.Sequence([N.NFKC(), N.Lowercase()]), P.Whitespace())
    yield "accents", pipeline(GOLDEN / "accents", N.Sequence([N.NFKD(), N.StripAccents(), N.Lowercase()]),
                              P.Sequence([P.WhitespaceSplit(), P.Punctuation()]), processors.BertProcessing(("[SEP]", sep), ("[CLS]", cls)))
    yield "replace", pipeline(GOLDEN / "replace", N.Sequence([N.Replace("ing", "ed"), N.Strip(), N.NFC()]), P.WhitespaceSplit(),
                              processors.TemplateProcessing(single="$A:0 [SEP]:1", pair="$B:1 [SEP]:0 $A:0 [MASK]:1",
                                                            special_tokens=[("[SEP]", sep), ("[MASK]", 4)]))
    yield "added", pipeline(GOLDEN / "added", N.BertNormalizer(lowercase=True), P.BertPreTokenizer(), added=[
        AddedToken("<new>", normalized=False), AddedToken("<newer>", normalized=False, lstrip=True),
        AddedToken("FOO", normalized=False, single_word=True), AddedToken("<r>", normalized=False, rstrip=True),
        AddedToken("Größe", normalized=True), AddedToken("good", normalized=True, single_word=True)])


ADDED_TEXTS = ["a <new> b<new>c", "a  <newer>  b <newe> <newer><new>", "FOO FOOD aFOO FOO. éFOO FOOé _FOO", "x <r>   y<r>z",
               "Größe größe GRÖSSE Grosse Große grO\u0308ße", "good goods Good ungood good.", "<r> \t <newer> \u3000 <r>", "<new> "]


def make_small():
    def encode(name, tokenizer, text, pair, length):
        tokenizer.no_truncation()
        if length:
            tokenizer.enable_truncation(length)
        e = tokenizer.encode(text, pair) if pair is not None else tokenizer.encode(text)
        case = {"tokenizer": name, "text": text, "max_length": length or 100000, "ids": e.ids}
        if any(e.type_ids):
            case["types"] = e.type_ids
        if pair is not None:
            case["pair"] = pair
        return json.dumps(case, separators=(",", ":"))

    lines = []
    for name, tokenizer in small_tokenizers():
        texts = TEXTS + ADDED_TEXTS + list(random_texts(60))
        lines += [encode(name, tokenizer, t, None, 0) for t in texts]
        lines += [encode(name, tokenizer, t, None, 7) for t in TEXTS[:8]]
        lines += [encode(name, tokenizer, a, b, n) for a, b in PAIRS for n in (0, 12, 11, 6)]
    (GOLDEN / "small.jsonl").write_text("\n".join(lines) + "\n")


# ---------------------------------------------------------------------------- every code point

MULTIPLIER = 0x9E3779B97F4A7C15
BLOCK = 0x4000


def make_codepoints():
    bert = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    steps = {
        "clean": N.BertNormalizer(**{**bert, "clean_text": True}),
        "chinese": N.BertNormalizer(**{**bert, "handle_chinese_chars": True}),
        "strip_nonspacing": N.Sequence([N.BertNormalizer(**{**bert, "strip_accents": True})]),
        "lower": N.Lowercase(), "nfd": N.NFD(), "nfc": N.NFC(), "nfkd": N.NFKD(), "nfkc": N.NFKC(), "strip_marks": N.StripAccents(),
    }
    splits = {"bert": P.BertPreTokenizer(), "whitespace": P.Whitespace(), "whitespace_split": P.WhitespaceSplit(),
              "punctuation": P.Punctuation()}
    lines = []
    for name, step in [*steps.items(), *splits.items()]:
        for block in range(0, 0x110000, BLOCK):
            value = 0
            for c in range(block, block + BLOCK):
                if 0xD800 <= c < 0xE000 or c == 0:
                    continue
                # A combining mark before shows the order of marks, one behind it composition; "a" the words.
                text = "\u0345" + chr(c) + "\u0301" if name in steps else "a" + chr(c) + "a"
                out = step.normalize_str(text) if name in steps else "\n".join(w for w, _ in step.pre_tokenize_str(text))
                for o in out:
                    value = (value * MULTIPLIER + ord(o) + 1) & (1 << 64) - 1
                value = (value * MULTIPLIER) & (1 << 64) - 1
            lines.append(f"{name} {block:x} {value:016x}")
    (GOLDEN / "codepoints.txt").write_text("\n".join(lines) + "\n")


# ---------------------------------------------------------------------------- the shared data


def csv_rows(path, column):
    csv.field_size_limit(1 << 30)
    with open(path, newline="", encoding="utf-8") as f:
        return [(row[column], None) for row in csv.DictReader(f)]


def tsv_rows(path, columns, header):
    with open(path, encoding="utf-8-sig", newline="\n") as f:
        rows = [line.rstrip("\r\n").split("\t") for line in f if line.strip("\r\n")]
    return [(row[columns[0]], row[columns[1]] if len(columns) > 1 else None) for row in rows[header:]]


def make_shared(data):
    sets = [("yelp/reviews.csv", "text", None, csv_rows(data / "yelp/reviews.csv", "text"), 512),
            ("cola/raw/in_domain_train.tsv", "3", None, tsv_rows(data / "cola/raw/in_domain_train.tsv", (3,), 0), 128),
            ("cola/raw/out_of_domain_dev.tsv", "3", None, tsv_rows(data / "cola/raw/out_of_domain_dev.tsv", (3,), 0), 10),
            ("sst2/train_full.tsv", "sentence", None, tsv_rows(data / "sst2/train_full.tsv", (0,), 1), 64),
            ("mrpc/msr_paraphrase_train.txt", "#1 String", "#2 String", tsv_rows(data / "mrpc/msr_paraphrase_train.txt", (3, 4), 1), 128),
            ("mrpc/msr_paraphrase_test.txt", "3", "4", tsv_rows(data / "mrpc/msr_paraphrase_test.txt", (3, 4), 1), 49)]
    result = []
    powers = np.cumprod(np.full(4096, MULTIPLIER, dtype=np.uint64))
    for vocabulary in ("uncased", "cased"):
        tokenizer = with_vocabulary(data / f"vocab/bert-base-{vocabulary}.txt", vocabulary == "uncased")
        for file, text, pair, rows, length in sets:
            tokenizer.enable_truncation(length)
            total, tokens = 0, 0
            for begin in range(0, len(rows), 1000):
                for e in tokenizer.encode_batch([r[0] if r[1] is None else r for r in rows[begin:begin + 1000]]):
                    x = np.array(e.ids, dtype=np.uint64) * np.uint64(2) + np.array(e.type_ids, dtype=np.uint64) + np.uint64(1)
                    value = int((x * powers[:len(x)]).sum(dtype=np.uint64))
                    total = (total * MULTIPLIER + value) & (1 << 64) - 1
                    tokens += len(x)
            result.append({"vocabulary": vocabulary, "file": file, "text": text, "pair": pair, "max_length": length,
                           "rows": len(rows), "tokens": tokens, "hash": f"{total:016x}"})
    (GOLDEN / "shared.json").write_text("[\n" + ",\n".join(json.dumps(r) for r in result) + "\n]\n")


if __name__ == "__main__":
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "small":
        make_small()
    elif command == "codepoints":
        make_codepoints()
    elif command == "shared" and len(sys.argv) == 3:
        make_shared(pathlib.Path(sys.argv[2]))
    else:
        sys.exit(__doc__)
