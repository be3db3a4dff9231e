#!/usr/bin/env python3
"""A short training writes a report that is one well-formed page with its curves, and a model card.

    report.py FTC MODEL.ir
"""

import html.parser
import pathlib
import re
import sys
import tempfile

from checks import Checks, Ftc

VOID = {"meta", "br", "hr"}
FIGURES = ["Loss", "Accuracy", "Learning rate", "Length of the training examples"]
HEADINGS = ["Evaluations", "Curves", "Lengths and padding", "Classes", "Confusions and mistakes", "Memory", "Time"]
HEADINGS += ["Hyperparameters"]


class Page(html.parser.HTMLParser):
    """Follows the nesting of a page; collects titles, headings, and the points of each figure's curves."""

    def __init__(self):
        super().__init__()
        self.open, self.errors, self.figures, self.headings, self.loaded = [], [], {}, [], []
        self.figure = None
        self.targets, self.ids = [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if attributes.get("href", "").startswith("#"):
            self.targets.append(attributes.pop("href")[1:])
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.loaded += [f"{tag} {name}" for name in attributes if name in ("src", "href", "srcset", "action")]
        if tag in ("script", "link", "iframe", "object", "img"):
            self.loaded.append(tag)
        if tag == "path" and self.figure and "line" in attributes.get("class", "") + self.classes():
            self.figures[self.figure] += len(re.findall("[ML]", attributes["d"]))
        if tag not in VOID:
            self.open.append((tag, attributes.get("class", "")))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open[-1][0] != tag:
            self.errors.append(f"line {self.getpos()[0]}: </{tag}> closes {self.open[-1:]}")
            return
        self.open.pop()
        if tag == "figure":
            self.figure = None

    def handle_data(self, data):
        if not self.open:
            return
        if self.open[-1][0] == "figcaption":
            self.figure = data
            self.figures[data] = 0
        if self.open[-1][0] == "h2":
            self.headings.append(data)

    def classes(self):
        return " ".join(name for _, name in self.open)


def parse(text):
    page = Page()
    page.feed(text)
    page.close()
    return page


def check_trainer(check, ftc, model):
    """Of a run that logs nothing, as Trainer does by default before step 500, the curves have every step, too, and those of
    before where it is resumed."""
    args = '{"output_dir": "trainer", "max_steps": 20, "save_steps": 15}'
    pathlib.Path(ftc.folder, "args.json").write_text(args)
    run = ["run", model, *SMALL, "--args", "args.json", "--select-train", "80"]
    pages = []
    for more in ([], ["--resume-from-checkpoint", "trainer/checkpoint-15", "--overwrite"]):
        done = ftc(*run, *more)
        check(f"ftc run --args {more} ended with status {done.returncode}:\n{done.stderr}", done.returncode == 0)
        check("it has logged steps", '"loss"' not in done.stdout)
        pages.append(pathlib.Path(ftc.folder, "trainer/report.html").read_text())
        figures = parse(pages[-1]).figures
        for figure in ("Loss", "Learning rate", "Norm of the gradient"):
            check(f"{figure} has no point for each of 20 steps under --args {more}", figures.get(figure, 0) >= 20)
    losses = [re.findall(r'<path d="([^"]*)"', page.partition("<figcaption>Loss<")[2].partition("</svg>")[0]) for page in pages]
    check("a resumed run draws another loss than one that went through", losses[0] and losses[0] == losses[1])


SMALL = ["--set", "hidden=32", "--set", "intermediate=64", "--set", "layers=1"]


def main():
    checks = Checks("report.html")
    check = checks.that
    with tempfile.TemporaryDirectory() as work:
        ftc, model = Ftc(sys.argv[1], work), pathlib.Path(sys.argv[2]).resolve()
        run = ["run", model, *SMALL]
        run += ["--max-steps", "20", "--select-train", "80", "--select-test", "40", "--output", "out"]
        done = ftc(*run)
        check(f"ftc run ended with status {done.returncode}:\n{done.stderr}", done.returncode == 0)
        if done.returncode:
            return checks.end()
        text = pathlib.Path(work, "out/report.html").read_text()
        card = pathlib.Path(work, "out/README.md").read_text()
        check_trainer(check, ftc, model)
    page = parse(text)
    check(f"is not well-formed: {page.errors[:3]}, open at the end: {page.open}", not page.errors and not page.open)
    check(f"loads something: {page.loaded}", not page.loaded and "url(" not in text and "@import" not in text)
    check("forbids loading", "default-src 'none'" in text)
    for figure in FIGURES:
        check(f"lacks the figure {figure}", figure in page.figures)
    check(f"headings {page.headings}", page.headings == HEADINGS)
    check(f"the contents lead to {page.targets}, not to {page.ids}", page.targets == page.ids)
    check("the loss has a point for each of 20 steps", page.figures.get("Loss", 0) >= 20)
    check("the learning rate has a point for each of 20 steps", page.figures.get("Learning rate", 0) >= 20)
    check("the memory is drawn", any(name.startswith("Intermediate values") for name in page.figures))
    check("kernels have times beside lines of the model", 'linear("intermediate.dense"' in text.replace("&quot;", '"'))
    lines = re.findall(r'<td class="code">([^<]*)</td>', text)
    check("times stand beside lines that say something", lines and all(re.search(r"\w", line) for line in lines))
    check("no number is missing", not re.search(r"[>\s-](nan|inf)\b", text.split("</style>")[1]))
    check("the card begins with front matter", card.startswith("---\n") and "\n---\n" in card)
    check("the card has a row for each epoch", len(re.findall(r"^(?:\| [\d.]+ ){11}\|$", card, re.M)) == 2)
    check("the card has a row for each class", len(re.findall(r"^\| \d (?:\| [\d.]+ ){4}\|$", card, re.M)) == 5)
    return checks.end()


if __name__ == "__main__":
    sys.exit(main())
