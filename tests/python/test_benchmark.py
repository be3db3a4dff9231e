"""ftc.benchmark: turns of processes, by itself and beside PyTorch where that is; figures of these tiny models mean nothing."""

import io
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import ftc
from ftc import benchmarks

SHORT = {"threads": 1, "rounds": 2, "steps": 3, "warmup": 0}


@pytest.fixture(scope="module")
def roberta(models):
    return models.parent / "tests/golden/families/roberta"


def test_ftc_alone(roberta):
    found = ftc.benchmark(roberta, 4, 16, against=(), **SHORT)
    one = found.contenders["ftc"]
    assert list(found.contenders) == ["ftc"] and one.missing is None and len(one.step_ms) == 6 and np.isfinite(one.loss)
    assert 0 < one.min_ms <= one.median_ms and one.peak_rss_bytes > 10e6 and one.setup_seconds > 0
    text = str(found)
    assert text.splitlines()[0] == "roberta, 4 × 16 tokens, 1 thread" and repr(found) == text
    assert found._repr_html_().count("<tr>") == 2 and found.markdown().count("\n") == 3
    assert json.loads(json.dumps(found.to_dict()))["contenders"]["ftc"]["step_ms"] == one.step_ms


def test_names_what_is_missing(roberta):
    found = ftc.benchmark(roberta, 4, 16, against="eager", python="/nowhere/python", **SHORT)
    assert found.contenders["eager"].missing == "/nowhere/python: No such file or directory"
    assert found.contenders["ftc"].step_ms and np.isnan(found.ratio("eager")[0])
    assert "not measured: /nowhere/python" in str(found) and "not measured: /nowhere" in found._repr_html_()
    too_long = ftc.benchmark(roberta, 4, 4096, against=(), **SHORT)
    assert "InputError" in too_long.contenders["ftc"].missing


def test_a_table_by_rich():
    console = pytest.importorskip("rich.console", reason="no rich, for its table of a benchmark").Console
    file = io.StringIO()
    console(width=80, file=file).print(by_hand(1.0))
    assert "PyTorch eager" in file.getvalue() and "2.00×" in file.getvalue()


def by_hand(loss):
    contenders = {
        "ftc": benchmarks.Contender("ftc", step_ms=[4.0, 2.0, 3.0], loss=1.0),
        "eager": benchmarks.Contender("eager", step_ms=[4.0, 9.0, 8.0], loss=loss),
    }
    return ftc.Benchmark("m", 1, 2, 3, contenders)


def test_ratios_and_losses():
    found = by_hand(1.001)
    assert found.ratio("eager") == (2.0, 8 / 3) and found.rows()[1][3:5] == ("2.00×", "2.67×")
    benchmarks._compare_losses(found, 0.01)
    with pytest.raises(RuntimeError, match="PyTorch eager and ftc do not compute the same"):
        benchmarks._compare_losses(by_hand(1.02), 0.01)


def test_refuses(roberta, tmp_path):
    with pytest.raises(ftc.InputError, match="eager.*compile"):
        ftc.benchmark(roberta, against="jax")
    with pytest.raises(ftc.InputError, match="at least 1"):
        ftc.benchmark(roberta, rounds=0)
    with pytest.raises(ftc.InputError, match="no config.json"):
        ftc.benchmark(tmp_path)
    with pytest.raises(TypeError, match="int"):
        ftc.benchmark(5)
    with pytest.raises(ftc.InputError, match="model_type"):
        ftc.benchmark({"hidden_size": 8})


def test_ftc_alone_on_labels_of_tokens(models):
    tokens = models.parent / "tests/golden/families/tokens/distilbert"
    found = ftc.benchmark(tokens, 4, 16, against=(), **SHORT).contenders["ftc"]
    assert found.missing is None and np.isfinite(found.loss)
    with pytest.raises(ftc.InputError, match="task is 'spans': there are classification, tokens, mlm"):
        ftc.benchmark(tokens, task="spans")


@pytest.mark.parametrize(
    "family, task", [("families/tokens/modernbert", None), ("masked/distilbert", "mlm"), ("families/roberta", "tokens")]
)
def test_tasks_beside_pytorch(models, family, task):
    pytest.importorskip("torch", reason="no torch, for the benchmark beside it")
    pytest.importorskip("transformers", reason="no transformers, for the benchmark beside it")
    config = json.loads((models.parent / "tests/golden" / family / "config.json").read_text())
    found = ftc.benchmark(config, 4, 16, task=task, against="eager", **SHORT)
    ours, theirs = found.contenders["ftc"], found.contenders["eager"]
    assert theirs.missing is ours.missing is None and theirs.loss == pytest.approx(ours.loss, rel=1e-4)


def test_beside_pytorch(roberta):
    pytest.importorskip("torch", reason="no torch, for the benchmark beside it")
    transformers = pytest.importorskip("transformers", reason="no transformers, for the benchmark beside it")
    config = json.loads((roberta / "config.json").read_text())
    of_config = ftc.benchmark(config, 4, 16, against="eager", **SHORT)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(roberta)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    of_model = ftc.benchmark(model, 4, 16, against=("eager",), **SHORT)
    of_directory = ftc.benchmark(roberta, 4, 16, against=(), **SHORT)
    for found in (of_config, of_model):
        ours, theirs = found.contenders["ftc"], found.contenders["eager"]
        assert theirs.missing is None and len(theirs.step_ms) == 6 and theirs.loss == pytest.approx(ours.loss, rel=1e-4)
    assert of_model.contenders["ftc"].loss == of_directory.contenders["ftc"].loss != of_config.contenders["ftc"].loss
    assert all(bool((value == before[name]).all()) for name, value in model.state_dict().items())


@pytest.mark.parametrize("contenders", ["ftc,bf16", "ftc,eager"])
def test_bench_predict(models, tiny, contenders):
    """bench/predict, in either precision and beside PyTorch: three ways, the figures of each round."""
    if "eager" in contenders:
        pytest.importorskip("transformers")
        pytest.importorskip("torch")
    library = os.environ.get("FTC_LIBRARY")
    binary = (pathlib.Path(library).parents[2] if library else models.parent / "build") / "ftc"
    if not binary.exists():
        pytest.skip("no build folder, for the command ftc")
    command = [models.parent / "bench/predict", "--ftc", binary, "--python", sys.executable]
    command += ["--pretrained", tiny, "--file", models / "data/reviews-test.csv", "--contenders", contenders, "--json"]
    command += ["--texts", "7", "--batch", "3", "--rounds", "2", "--threads", "1"]
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert told["missing"] == {} and len(told["lengths"]) == 7
    for ways in map(told["texts_a_second"].get, contenders.split(",")):
        assert all(len(ways[way]) == 2 and min(ways[way]) > 0 for way in ("batches of 3", "sorted by length", "one by one"))
