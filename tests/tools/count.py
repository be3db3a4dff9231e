#!/usr/bin/env python3
"""Counts the tests of one `meson test` run: prints each program's count, then `N passed, N failed, N skipped`.

A Criterion program counts as many tests as it says it has run, a script as many as its own closing line `N passed, N
failed` says, any other program as one. Lines `skipped: ...` count what was left out, with the reason.

Usage: count.py BUILD/meson-logs/testlog.json      exit status 1 if a test failed or none ran
"""

import json
import re
import sys

CRITERION = re.compile(r"Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)")
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.MULTILINE)
SKIPPED = re.compile(r"^.*\bskipped: (.+)$", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def count(test):
    """Returns (passed, failed, skipped) of one program, and the reasons for skipping."""
    output = COLOUR.sub("", test.get("stdout", "") + "\n" + test.get("stderr", ""))
    reasons = SKIPPED.findall(output)
    passed = failed = skipped = 0
    if found := CRITERION.findall(output):
        for _, passing, failing, crashing in found:
            passed += int(passing)
            failed += int(failing) + int(crashing)
    elif closing := CLOSING.search(output):
        passed, failed, skipped = (int(number or 0) for number in closing.groups())
    elif test["result"] == "OK":
        passed = 1
    elif test["result"] == "SKIP":
        skipped = 1
    if test["result"] not in ("OK", "SKIP"):
        failed = max(failed, 1)  # it may also have died before it could count
    return passed, failed, max(skipped, len(reasons)), reasons


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        tests = [json.loads(line) for line in file]
    total = [0, 0, 0]
    for test in sorted(tests, key=lambda test: test["name"].split(" / ")[-1]):
        *numbers, reasons = count(test)
        total = [a + b for a, b in zip(total, numbers)]
        name = test["name"].split(" / ")[-1]  # without its suites
        line = "{:32} {:5} passed {:4} failed {:4} skipped".format(name, *numbers)
        print(
            line + f"  {test['duration']:6.1f} s" + "".join(f"\n    skipped: {reason}" for reason in reasons)
        )
    passed, failed, skipped = total
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
