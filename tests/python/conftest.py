import pathlib
import signal

import pytest
from trainers import accuracy, make_rows

import ftc

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def models():
    return ROOT / "models"


@pytest.fixture(autouse=True)
def ctrl_c():
    """Ctrl-C means what it does in a shell, also where the tests run in its background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def tiny(models):
    return models.parent / "tests/golden/parity/tiny/model"


@pytest.fixture
def make(tiny, tmp_path):
    def make(model=tiny, n=50, kind=ftc.Trainer, callbacks=None, train=None, test=None, **arguments):
        arguments = {"output_dir": str(tmp_path / "out"), "learning_rate": 1e-3, "save_strategy": "no"} | arguments
        arguments = {"disable_tqdm": True, "logging_steps": 1, "eval_strategy": "epoch"} | arguments
        return kind(
            model=model,
            args=ftc.TrainingArguments(**arguments),
            train_dataset=make_rows(n, 1) if train is None else train,
            eval_dataset=make_rows(20, 2) if test is None else test,
            compute_metrics=accuracy,
            callbacks=callbacks,
        )

    return make


@pytest.fixture(scope="session")
def hf():
    pytest.importorskip("torch", reason="no torch, for the comparison with transformers.Trainer")
    transformers = pytest.importorskip("transformers", reason="no transformers, for the comparison with its Trainer")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers
