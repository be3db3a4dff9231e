#!/usr/bin/env python3
"""Runs the package's tests by pytest and prints `N passed, N failed, N skipped`, with the reasons for skipping.

run.py [--left FILE | --only FILE] LIBRARY [PRELOADED LIBRARY...]: LIBRARY, a libftc.so, or "installed" for that of the installed
package. --left: what is skipped does not count; its names go into FILE, and --only runs those, where what they need is by then.
FTC_PYTHON names the Python that has NumPy and pytest, where it is not the one at hand.
"""

import argparse
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent


def restart(python, environment):
    try:
        os.execve(python, [python, *sys.argv], {**os.environ, **environment, "FTC_PYTHON": ""})
    except OSError as error:
        sys.exit(f"FTC_PYTHON={python}: {error.strerror}")


class Counter:
    """Counts, keeps the names of what is skipped, and of all tests leaves those of `only`, where there are any."""

    def __init__(self, only):
        self.passed = self.failed = 0
        self.skipped, self.only = [], only

    def pytest_collection_modifyitems(self, items):
        if self.only is not None:
            items[:] = [item for item in items if item.nodeid in self.only]

    def pytest_runtest_logreport(self, report):
        if report.skipped:
            self.skipped.append((report.nodeid, report.longrepr[2].removeprefix("Skipped: ")))
        elif report.failed:
            self.failed += 1
        elif report.when == "call":
            self.passed += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--left", type=pathlib.Path)
    parser.add_argument("--only", type=pathlib.Path)
    parser.add_argument("library")
    parser.add_argument("preloaded", nargs="*")
    options = parser.parse_args()
    library, preloaded = options.library, options.preloaded
    wanted = os.environ.get("FTC_PYTHON")
    if wanted:
        restart(wanted, {})
    try:
        import numpy  # noqa: F401
        import pytest
    except ImportError as error:
        print(
            f"skipped: {sys.executable} has no {error.name}, for the tests of the Python package (FTC_PYTHON names another)"
        )
        return 77
    if preloaded and "LD_PRELOAD" not in os.environ:
        environment = {"LD_PRELOAD": ":".join(preloaded), "ASAN_OPTIONS": "detect_leaks=0"}
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **environment})
    if library != "installed":
        os.environ["FTC_LIBRARY"] = os.path.abspath(library)
        sys.path.insert(0, str(HERE.parent.parent / "python"))
        os.environ["PYTHONPATH"] = sys.path[0]  # of processes that tests start

    counter = Counter(options.only and options.only.read_text(encoding="utf-8").split("\n"))
    status = pytest.main(["-q", "-p", "no:cacheprovider", "--no-header", str(HERE)], plugins=[counter])
    failed = counter.failed or int(status not in (0, pytest.ExitCode.TESTS_FAILED))
    skipped = counter.skipped
    if options.left:
        options.left.write_text("\n".join(name for name, _ in skipped), encoding="utf-8")
        print(f"left for another run: {len(skipped)}, in {options.left}")
        skipped = []
    for _, why in skipped:
        print(f"skipped: {why}")
    print(f"{counter.passed} passed, {failed} failed, {len(skipped)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
