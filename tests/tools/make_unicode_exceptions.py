"""Prints the table of runtime/text/unicode_exceptions.inc: where utf8proc and Hugging Face's tokenizers disagree.

The tokenizers library takes its character classes from several Rust crates, each with tables of its own Unicode
version (8 for punctuation and nonspacing marks, 9 for decompositions, the newest for \\w and lower case). ftc asks
utf8proc, whose version is that of the system. This script asks both about every code point.

    make_unicode_exceptions.py > runtime/text/unicode_exceptions.inc        (needs tokenizers, and libutf8proc 2.8)
"""
import ctypes
import ctypes.util
import string

from tokenizers import normalizers as N, pre_tokenizers as P

FLAGS = ["CONTROL", "PUNCTUATION", "NONSPACING", "MARK", "WORD", "REORDERED", "CANONICAL", "COMPATIBLE"]

utf8proc = ctypes.CDLL(ctypes.util.find_library("utf8proc"))
utf8proc.utf8proc_category_string.restype = ctypes.c_char_p


class Property(ctypes.Structure):
    _fields_ = [("category", ctypes.c_int16), ("combining_class", ctypes.c_int16)]


utf8proc.utf8proc_get_property.restype = ctypes.POINTER(Property)
buffer = (ctypes.c_int32 * 64)()


def decompose(c, compatible):
    options = (1 << 4) | (1 << 2 if compatible else 0)  # UTF8PROC_DECOMPOSE, UTF8PROC_COMPAT
    n = utf8proc.utf8proc_decompose_char(c, buffer, 64, options, None)
    return "".join(map(chr, buffer[:n]))


def system_flags(c):
    """What runtime/text/unicode.c derives from utf8proc; keep the two alike."""
    category = utf8proc.utf8proc_category_string(c).decode()
    flags = set()
    if category in ("Cc", "Cf", "Co") and c not in (9, 10, 13):
        flags.add("CONTROL")
    if category[0] == "P" or (c < 128 and chr(c) in string.punctuation):
        flags.add("PUNCTUATION")
    if category == "Mn":
        flags.add("NONSPACING")
    if category[0] == "M":
        flags.add("MARK")
    if category[0] in "LM" or category in ("Nd", "Nl", "Pc") or c in (0x200C, 0x200D):
        flags.add("WORD")
    if utf8proc.utf8proc_get_property(c).contents.combining_class:
        flags.add("REORDERED")
    if decompose(c, False) != chr(c):
        flags.add("CANONICAL")
    if decompose(c, True) != chr(c):
        flags.add("COMPATIBLE")
    return flags


NFD, NFKD, STRIP_ACCENTS = N.NFD(), N.NFKD(), N.StripAccents()
CLEAN = N.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
STRIP = N.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
LOWER = N.Lowercase()
WHITESPACE, PUNCTUATION = P.Whitespace(), P.Punctuation()


def reference_flags(c, system):
    ch = chr(c)
    flags = set()
    if c == 0 or (c != 0xFFFD and CLEAN.normalize_str(ch) == ""):  # U+FFFD is dropped too, by a rule of its own
        flags.add("CONTROL")
    if len(PUNCTUATION.pre_tokenize_str("a" + ch + "a")) == 3:
        flags.add("PUNCTUATION")
    canonical, compatible = NFD.normalize_str(ch), NFKD.normalize_str(ch)
    if canonical != ch:
        flags.add("CANONICAL")
        flags |= system & {"NONSPACING"}  # never seen after the decomposition
    elif STRIP.normalize_str(ch) == "":
        flags.add("NONSPACING")
    if compatible != ch:
        flags.add("COMPATIBLE")
    if STRIP_ACCENTS.normalize_str(ch) == "":
        flags.add("MARK")
    if len(WHITESPACE.pre_tokenize_str("a" + ch + "a")) == 1 and "WORD" not in flags:
        flags.add("WORD")
    if "REORDERED" in system:
        # U+0345 has the highest class, so that every mark with a class moves before it.
        if c == 0x345 or NFD.normalize_str("\u0345" + ch) != "\u0345" + ch:
            flags.add("REORDERED")
    return flags


def main():
    ranges = []
    open_flags = None  # the flags of the last range, while every code point since has had the same
    for c in range(0x110000):
        if 0xD800 <= c < 0xE000:
            continue
        system = system_flags(c)
        reference = reference_flags(c, system)
        if reference != open_flags:
            open_flags = None
        if reference == system:
            continue
        if open_flags is not None:
            ranges[-1][1] = c
        else:
            ranges.append([c, c, reference])
            open_flags = reference
    print("// Made by tests/tools/make_unicode_exceptions.py; included by runtime/text/unicode.c.")
    print("static const ftc_unicode_range exceptions[] = {")
    for first, last, flags in ranges:
        names = " | ".join("FTC_UNICODE_" + f for f in FLAGS if f in flags) or "0"
        print("    {0x%x, 0x%x, %s}," % (first, last, names))
    print("};")
    print()
    print("static const ftc_unicode_lower_range lower_exceptions[] = {")
    lower = []
    for c in range(0x110000):
        if 0xD800 <= c < 0xE000:
            continue
        reference = LOWER.normalize_str(chr(c))
        if reference == chr(utf8proc.utf8proc_tolower(c)):
            continue
        delta = ord(reference[0]) - c
        if lower and len(reference) == 1 and lower[-1][1] == c - 1 and lower[-1][2] == delta and lower[-1][3] == 0:
            lower[-1][1] = c
        else:
            lower.append([c, c, delta, ord(reference[1]) if len(reference) > 1 else 0])
    for row in lower:
        print("    {0x%x, 0x%x, %d, 0x%x}," % tuple(row))
    print("};")


if __name__ == "__main__":
    main()
