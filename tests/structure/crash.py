#!/usr/bin/env python3
"""A run that is killed at random moments and resumed leaves the bytes of one that nobody disturbed.

    crash.py FTC MODEL.ir [KILLS [SEED]]

Rounds of `ftc run` with checkpoints: SIGKILL after a random time, `--resume` where there is a checkpoint, until the run comes
to its end; then weights, moments and state are those of the undisturbed run.
"""

import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from checks import Checks

TINY = ["--set", "hidden=8", "--set", "inner=8", "--set", "labels=2"]
RUN = ["--train", "rows.csv", "--max-steps", "60", "--batch", "8", "--threads", "1", "--save-strategy", "steps", "--save-steps", "3",
       "--save-total-limit", "2", "--split-test", "8", "--eval-strategy", "steps", "--eval-steps", "7", "--no-report"]
CLOCKS = {"window_seconds"}  # of resume.json


def texts_of(output):
    """What the run leaves, by file, but for what the clock says."""
    left = {}
    for path in sorted(output.rglob("*")):
        name = str(path.relative_to(output))
        if path.suffix == ".safetensors" or path.name in ("config.json", "model.ir", "vocab.txt"):
            left[name] = path.read_bytes()
        elif path.name == "resume.json":
            left[name] = {key: value for key, value in json.loads(path.read_text(encoding="utf-8")).items() if key not in CLOCKS}
        elif path.name == "trainer_state.json":
            state = json.loads(path.read_text(encoding="utf-8"))
            left[name] = [(line["step"], line.get("loss"), line.get("eval_loss")) for line in state["log_history"]]
        elif path.is_dir():
            left[name] = "a folder"
    return left


def main():
    ftc, model = (str(pathlib.Path(path).resolve()) for path in sys.argv[1:3])
    kills = int(sys.argv[3]) if len(sys.argv) > 3 else 20
    chance = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    checks = Checks()
    memory = pathlib.Path("/dev/shm")  # where there is no disk to wait for
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        folder = pathlib.Path(name)
        (folder / "rows.csv").write_text("text,label\n" + "".join(f"the soup was {'cold' if i % 2 else 'warm'} {i},{i % 2}\n"
                                                                 for i in range(60)), encoding="utf-8")

        def start(*words):
            return subprocess.Popen([ftc, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

        def finish(*words):
            run = start(*words)
            said = run.communicate(timeout=120)[1]
            checks.that(f"ftc {' '.join(words)}: status {run.returncode}: {said}", run.returncode == 0)

        finish("compile", model, *TINY, "-o", "tiny.ftc")
        begun = time.monotonic()
        finish("run", "tiny.ftc", *RUN, "--output", "calm")
        seconds = time.monotonic() - begun
        calm = texts_of(folder / "calm")

        killed = rounds = resumed = 0
        output = folder / "torn"
        while killed < kills:
            again = any(output.glob("checkpoint-*/resume.json"))
            run = start("run", "tiny.ftc", *RUN, "--output", "torn", *(["--resume"] if again else []))
            resumed += again
            try:
                said = run.communicate(timeout=chance.uniform(0, seconds))[1]
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGKILL)
                killed += 1
                run.communicate()
                continue
            checks.that(f"after {killed} kills: status {run.returncode}: {said}", run.returncode == 0)
            if run.returncode:
                break
            torn = texts_of(output)
            differ = sorted(path for path in calm.keys() | torn.keys() if calm.get(path) != torn.get(path))
            checks.that(f"after {killed} kills: {', '.join(differ)}: not as without", not differ)
            shutil.rmtree(output)
            rounds += 1
        print(f"{killed} kills, {resumed} resumed, {rounds} runs that came to their end, {seconds:.2f} s each")
    return checks.end()


sys.exit(main())
