"""What the tests here share: they run ftc, count what holds and tell what does not."""

import pathlib
import subprocess
import sys


class Checks:
    def __init__(self, subject=""):
        self.prefix = f"{subject}: " if subject else ""
        self.passed = self.failed = self.skipped = 0

    def that(self, what, holds):
        self.passed += bool(holds)
        self.failed += not holds
        if not holds:
            print(f"{self.prefix}{what}", file=sys.stderr)

    def skip(self, why):
        self.skipped += 1
        print(f"skipped: {why}")

    def end(self):
        """Prints the sums; the exit status."""
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        return 1 if self.failed or not self.passed else 0


class Ftc:
    """The command, run in a folder."""

    def __init__(self, path, folder):
        self.path, self.folder = str(pathlib.Path(path).resolve()), folder

    def __call__(self, *words):
        command = [self.path, *map(str, words)]
        return subprocess.run(command, cwd=self.folder, check=False, capture_output=True, text=True, timeout=120)
