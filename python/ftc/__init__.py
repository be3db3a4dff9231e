"""ftc: training of encoders, compiled.

    import ftc

    net = ftc.compile("models/mlp.ir")                       # MODEL.ir, an artifact, or a Hugging Face directory
    for _ in range(100):
        out = net.step(ids=[[5, 7, 9], [6, 8]], label=[1, 0], lr=5e-3)
    print(out.loss, net.eval(ids=[[5, 7]]).logits)

    from ftc import Trainer                                  # transformers.Trainer's interface over the compiled step

See docs/python.md of the repository.
"""

from ._library import Error, InputError, TrainingError
from ._library import library as _libftc
from .benchmarks import Benchmark, benchmark
from .net import Kernel, Net, Outputs, Tokenizer, Verification, compile
from ._rows import Rows, read_rows
from ._callbacks import EarlyStoppingCallback, TrainerCallback
from .trainer import Trainer
from .training_args import TrainingArguments

__version__: str = _libftc.ftc_version().decode()

__all__ = [
    "Benchmark",
    "EarlyStoppingCallback",
    "Error",
    "InputError",
    "Kernel",
    "Net",
    "Outputs",
    "Rows",
    "Tokenizer",
    "Trainer",
    "TrainerCallback",
    "TrainingArguments",
    "TrainingError",
    "Verification",
    "benchmark",
    "compile",
    "read_rows",
]
