#!/usr/bin/env python3
"""view.py FTC SOURCE_ROOT: the pages of `ftc view`, as Chromium has them once their scripts ran: no errors, and what
is to be seen of each kernel. Skipped (77) where there is no Chromium."""

import html.parser
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ftc, root = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
browser = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
SMALL = [
    f"--set={setting}" for setting in ("hidden=64", "heads=2", "intermediate=128", "vocab=500", "layers=2")
]


class Page(html.parser.HTMLParser):
    """The texts of the elements that have an id, and how many elements of each name are in each of these."""

    VOID = {"meta", "input", "br", "link", "img"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str | None, str]] = []
        self.text: dict[str, str] = {}
        self.count: dict[tuple[str, str], int] = {}
        self.classes: dict[str, int] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        for word in (known.get("class") or "").split():
            self.classes[word] = self.classes.get(word, 0) + 1
        for _, name, _ in self.open:
            if name:
                self.count[name, tag] = self.count.get((name, tag), 0) + 1
        if tag not in self.VOID:
            self.open.append((tag, known.get("id"), ""))
        if known.get("id"):
            self.text.setdefault(known["id"], "")

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for _, name, _ in self.open:
            if name:
                self.text[name] += data


def run(*words: str | pathlib.Path) -> str:
    return subprocess.run([ftc, *words], check=True, capture_output=True, text=True, timeout=240).stdout


def opened(path: pathlib.Path, where: str = "") -> Page:
    """The page after its scripts. Chromium tells on standard error what went to the console."""
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--virtual-time-budget=10000",
    ]
    profile = f"--user-data-dir={path.parent / 'profile'}"
    done = subprocess.run(
        [browser, *options, profile, "--window-size=1400,900", "--dump-dom", f"file://{path}{where}"],
        capture_output=True,
        text=True,
        timeout=240,
    )
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert done.returncode == 0 and not said, said or done.stderr
    return Page(done.stdout)


def check_model(folder: pathlib.Path) -> None:
    artifact, page = folder / "small.ftc", folder / "small.html"
    run("compile", root / "models/bert-cls.ir", *SMALL, "--batch=2", "--max-length=16", "-o", artifact)
    run("view", artifact, "-o", page, "--threads=1", "--measure=3")
    graph = run("inspect", artifact, "--graph")
    kernels, dots = len(re.findall(r"^kernel ", graph, re.M)), len(re.findall(r"^kernel dot", graph, re.M))
    seen = opened(page, "#dot8/code")
    assert f"{kernels} kernels a step" in seen.text["title"], seen.text["title"]
    assert (
        "GFLOP/s" in seen.text["peaks"]
        and "L2 " in seen.text["peaks"]
        and "medians of 3 steps" in seen.text["peaks"]
    )
    assert 20 < seen.classes["k"] - seen.count["alive", "tr"] < kernels, "alike kernels stand together"
    assert "of roof" in seen.text["kernels"] and "dot8" in seen.text["kernels"]
    assert seen.count["roof", "circle"] >= dots, "each kernel that computes has its place under the roof"
    assert seen.count["memory", "rect"] > 20
    assert "normal_cdf" in seen.text["nodes"] and "= dot(" in seen.text["nodes"], seen.text["nodes"]
    assert "ends   at" in seen.text["why"] and "rows7" in seen.text["near"], seen.text["near"]
    assert "ftc.gemm" in seen.text["loops"] and "innermost loops" in seen.text["code-of"]
    assert (
        re.search(r"^\.L[0-9a-f]+:\n(    .*\n)*    v?f?(n?madd|mul)\S* %", seen.text["assembly"])
        or "mulps" in seen.text["assembly"]
    )
    assert "model bert_cls" in seen.text["source"] and seen.classes["on"] > 2, "the kernel's lines are marked"
    stages = opened(page, "#dot8/stages")
    assert "differentiate" in stages.text["stages-list"] and "after plan: " in stages.text["stage-note"], (
        stages.text["stage-note"]
    )
    assert 'param("bert.encoder.layer.0.intermediate.dense.weight")' in stages.text["stage"], stages.text[
        "stage"
    ][:500]


def check_own_kernel(folder: pathlib.Path) -> None:
    """Without times, of a model with a kernel of its own: the loops are those of its author's object."""
    artifact, page = folder / "own.ftc", folder / "own.html"
    examples = root / "docs/examples"
    run("compile", examples / "layernorm.ir", "--kernel", examples / "layernorm.c", "-o", artifact)
    run("view", artifact, "-o", page, "--threads=1")
    name = re.search(r"^kernel (extern\d+)", run("inspect", artifact, "--graph"), re.M)[1]
    seen = opened(page, f"#{name}/code")
    assert "layernorm_" in seen.text["loops"], seen.text["loops"]
    assert "of roof" not in seen.text["kernels"] and "ftc view --measure" in seen.text["peaks"]


if not browser:
    print("skipped: no chromium")
    sys.exit(77)
with tempfile.TemporaryDirectory() as where:
    check_model(pathlib.Path(where))
    check_own_kernel(pathlib.Path(where))
