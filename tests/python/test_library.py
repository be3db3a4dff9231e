"""The ctypes declarations are those of ftc.h."""

import ctypes
import pathlib
import re
import shutil
import subprocess

import pytest
from ftc import _library as c

HEADER = pathlib.Path(__file__).resolve().parents[2] / "compiler/api/ftc.h"

NUMBERS = {
    "int": ctypes.c_int,
    "unsigned": ctypes.c_uint,
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "double": ctypes.c_double,
    "float": ctypes.c_float,
    "ftc_element": ctypes.c_int,
    "ftc_tensor_kind": ctypes.c_int,
    "ftc_loop_moment": ctypes.c_int,
    "void": None,
}
FUNCTION_TYPES = {"ftc_loop_fn", "ftc_evaluate_fn", "ftc_dump_fn"}
HANDLES = {"ftc_error", "ftc_net", "ftc_tokenizer", "ftc_trainer", "ftc_interpretation"}


def text():
    lines = HEADER.read_text().splitlines()
    kept = [re.sub(r"//.*", "", line) for line in lines if not line.startswith("#")]
    return " ".join(kept)


def as_ctypes(declared):
    """Of "const int32_t *const *ids" or "const char *"."""
    words = re.findall(r"\w+|\*", declared.replace("const", " "))
    stars = words.count("*")
    base = words[0]
    if base in HANDLES or (base == "void" and stars):
        kind, stars = ctypes.c_void_p, stars - 1
    elif base == "char":
        kind, stars = ctypes.c_char_p, stars - 1
    elif base in FUNCTION_TYPES:
        kind, stars = getattr(c, base), stars - 1
    elif base in NUMBERS:
        kind = NUMBERS[base]
    else:
        kind = getattr(c, base)
    for _ in range(stars):
        kind = ctypes.POINTER(kind)
    return kind


def test_functions():
    header = re.sub(r"typedef \w+ ftc_\w+_fn\([^()]*\);", "", text())
    declared = {}
    for result, name, parameters in re.findall(r"([\w ]+\**(?:const \*)?) ?\*?(?<=[ *])(ftc_\w+)\(([^()]*)\);", header):
        # The star of the result stands before the name.
        before = header.split(f"{name}(")[0]
        result = re.search(r"[;{}]?([^;{}]*)$", before).group(1).replace('"C"', "").replace("extern", "")
        list_ = [] if parameters.strip() == "void" else [p.strip() for p in parameters.split(",") if p.strip()]
        declared[name] = (as_ctypes(result), [as_ctypes(p) for p in list_])
    assert len(declared) > 40
    assert set(declared) == set(c.FUNCTIONS)
    for name, (result, parameters) in declared.items():
        assert c.FUNCTIONS[name] == (result, parameters), name


def test_every_structure_is_there():
    enumerations = {"ftc_element", "ftc_tensor_kind", "ftc_loop_moment"}
    declared = set(re.findall(r"\} (ftc_\w+);", text())) - enumerations
    assert declared == {name for name, kind in vars(c).items() if name.startswith("ftc_") and name not in FUNCTION_TYPES}


def test_function_types():
    for result, name, parameters in re.findall(r"typedef (\w+) (ftc_\w+_fn)\(([^()]*)\);", text()):
        wanted = [as_ctypes(p.strip()) for p in parameters.split(",")]
        assert getattr(c, name)._restype_ == as_ctypes(result) and list(getattr(c, name)._argtypes_) == wanted
        assert name in FUNCTION_TYPES


def test_moments():
    declared = re.findall(r"FTC_AT_(\w+)", text())
    assert tuple(name.lower() for name in declared) == c.MOMENTS


def test_structures_lie_as_in_c(tmp_path):
    cc = shutil.which("cc")
    if not cc:
        pytest.skip("no C compiler to ask how structures lie")
    lines = []
    wanted = {}
    for name, kind in vars(c).items():
        if not name.startswith("ftc_") or name in FUNCTION_TYPES:
            continue
        wanted[name] = ctypes.sizeof(kind)
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
        for field, *_ in kind._fields_:
            wanted[f"{name}.{field}"] = (getattr(kind, field).offset << 16) + getattr(kind, field).size
            lines.append(
                f'printf("{name}.{field} %zu\\n", (offsetof({name}, {field}) << 16) + sizeof((({name} *)0)->{field}));'
            )
    lines += [f'printf("{name} %d\\n", FTC_CALL_{name.upper()});' for name in c.CALLS]
    source = tmp_path / "sizes.c"
    source.write_text(
        "#include <ftc.h>\n#include <stdio.h>\nint main(void) {\n" + "\n".join(lines) + "\nreturn 0; }\n"
    )
    subprocess.run([cc, f"-I{HEADER.parent}", str(source), "-o", str(tmp_path / "sizes")], check=True)
    printed = subprocess.run([str(tmp_path / "sizes")], check=True, capture_output=True, text=True).stdout
    found = {name: int(number) for name, number in (line.split() for line in printed.splitlines())}
    assert found == {**wanted, **c.CALLS}
