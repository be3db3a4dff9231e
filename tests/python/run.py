#!/usr/bin/env python3
"""Runs the package's tests by pytest and prints `N passed, N failed, N skipped`, with the reasons for skipping.

run.py LIBRARY [PRELOADED LIBRARY...]: LIBRARY, a libftc.so, or "installed" for that of the installed package. FTC_PYTHON names
the Python that has NumPy and pytest, where it is not the one at hand.
"""

import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent


def restart(python, environment):
    try:
        os.execve(python, [python, *sys.argv], {**os.environ, **environment, "FTC_PYTHON": ""})
    except OSError as error:
        sys.exit(f"FTC_PYTHON={python}: {error.strerror}")


def main():
    library, *preloaded = sys.argv[1:]
    wanted = os.environ.get("FTC_PYTHON")
    if wanted:
        restart(wanted, {})
    try:
        import numpy  # noqa: F401
        import pytest
    except ImportError as error:
        print(f"skipped: {sys.executable} has no {error.name}, for the tests of the Python package (FTC_PYTHON names another)")
        return 77
    if preloaded and "LD_PRELOAD" not in os.environ:
        environment = {"LD_PRELOAD": ":".join(preloaded), "ASAN_OPTIONS": "detect_leaks=0"}
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **environment})
    if library != "installed":
        os.environ["FTC_LIBRARY"] = os.path.abspath(library)
        sys.path.insert(0, str(HERE.parent.parent / "python"))
        os.environ["PYTHONPATH"] = sys.path[0]  # of processes that tests start

    class Counter:
        passed = failed = skipped = 0

        def pytest_runtest_logreport(self, report):
            if report.skipped:
                self.skipped += 1
                print(f"\nskipped: {report.longrepr[2].removeprefix('Skipped: ')}")
            elif report.failed:
                self.failed += 1
            elif report.when == "call":
                self.passed += 1

    counter = Counter()
    status = pytest.main(["-q", "-p", "no:cacheprovider", "--no-header", str(HERE)], plugins=[counter])
    failed = counter.failed or int(status not in (0, pytest.ExitCode.TESTS_FAILED))
    print(f"{counter.passed} passed, {failed} failed, {counter.skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
