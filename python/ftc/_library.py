"""libftc by ctypes: the declarations of ftc.h (tests/python/test_library.py compares them) and its errors as exceptions."""

from __future__ import annotations

import ctypes
import os
import pathlib
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_uint, c_uint8, c_uint64
from ctypes import c_void_p


class Error(Exception):
    """What libftc refuses or cannot do. `status` is what the `ftc` command would exit with: 1 or 2."""

    status = 1


class InputError(Error, ValueError):
    """Wrong usage or bad input: a model's text, options, sizes, values outside of their range. `status` is 2."""

    status = 2


class TrainingError(Error, RuntimeError):
    """The run itself failed: a loss that is not finite, no memory, a file that cannot be written. `status` is 1."""


# --- the structures of ftc.h, under its names -----------------------------------------------------------

RANK = 8
MOMENTS = ("epoch_begin", "step_begin", "substep_end", "pre_update", "updated", "step_end", "epoch_end")
CALLS = {"step": 1, "grad": 2, "update": 4, "eval": 8}


class ftc_graph_text(Structure):
    _fields_ = [("call", c_uint), ("text", c_char_p), ("name", c_char_p)]


class ftc_net_options(Structure):
    _fields_ = [
        ("pretrained", c_char_p),
        ("batch", c_int64),
        ("max_length", c_int64),
        ("calls", c_uint),
        ("options", POINTER(c_char_p)),
        ("graphs", POINTER(ftc_graph_text)),
        ("n_graphs", c_int32),
        ("kernels", POINTER(c_char_p)),
        ("edits", c_char_p),
    ]


class ftc_tensor_desc(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("kind", c_int),
        ("type", c_int),
        ("rank", c_int),
        ("dims", c_int64 * 4),
        ("trainable", c_int),
    ]


class ftc_extent_desc(Structure):
    _fields_ = [("name", c_char_p), ("ragged_over", c_char_p), ("least", c_int64), ("most", c_int64)]


class ftc_axis_desc(Structure):
    _fields_ = [("name", c_char_p), ("extent", c_char_p), ("size", c_int64)]


class ftc_input_desc(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("from", c_char_p),
        ("type", c_int),
        ("bound", c_int64),
        ("rank", c_int),
        ("axes", ftc_axis_desc * RANK),
    ]


class ftc_scalar_desc(Structure):
    _fields_ = [("name", c_char_p), ("initial", c_double)]


class ftc_output_desc(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("as", c_char_p),
        ("type", c_int),
        ("calls", c_uint),
        ("rank", c_int),
        ("axes", ftc_axis_desc * RANK),
    ]


class ftc_time_desc(Structure):
    _fields_ = [("name", c_char_p), ("is_of_all", c_int), ("seconds", c_double * 4)]


class ftc_trainer_options(Structure):
    _fields_ = [("threads", c_int32), ("seed", c_uint64), ("calls", c_uint)]


class ftc_weight(Structure):
    _fields_ = [("name", c_char_p), ("rank", c_int), ("dims", POINTER(c_int64)), ("values", POINTER(c_float))]


class ftc_extent_size(Structure):
    _fields_ = [("name", c_char_p), ("n", c_int64), ("offsets", POINTER(c_int64))]


class ftc_input_cells(Structure):
    _fields_ = [("name", c_char_p), ("cells", c_void_p)]


class ftc_mask_options(Structure):
    _fields_ = [
        ("probability", c_double),
        ("replaced", c_double),
        ("random", c_double),
        ("seed", c_uint64),
        ("mask_id", c_int32),
        ("vocabulary", c_int32),
        ("special", POINTER(c_uint8)),
    ]


class ftc_examples(Structure):
    _fields_ = [
        ("n", c_int64),
        ("offsets", POINTER(c_int64)),
        ("ids", POINTER(c_int32)),
        ("types", POINTER(c_int32)),
        ("labels", POINTER(c_float)),
        ("several", c_int64),
        ("tags", POINTER(c_int32)),
        ("masks", POINTER(ftc_mask_options)),
    ]


class ftc_loop_options(Structure):
    _fields_ = [
        ("epochs", c_double),
        ("max_steps", c_int64),
        ("batch", c_int64),
        ("accumulation", c_int64),
        ("drop_last", c_int),
        ("order", c_char_p),
        ("seed", c_uint64),
        ("data_seed", c_uint64),
        ("schedule", c_char_p),
        ("lr", c_double),
        ("warmup_steps", c_double),
        ("schedule_cycles", c_double),
        ("schedule_power", c_double),
        ("schedule_end", c_double),
        ("schedule_timescale", c_double),
        ("schedule_min_lr", c_double),
        ("schedule_min_share", c_double),
        ("schedule_decay", c_int64),
        ("schedule_stable", c_int64),
        ("schedule_rise", c_char_p),
        ("schedule_fall", c_char_p),
        ("schedule_factor", c_double),
        ("schedule_threshold", c_double),
        ("schedule_patience", c_int64),
        ("schedule_cooldown", c_int64),
        ("weight_decay", c_double),
        ("beta1", c_double),
        ("beta2", c_double),
        ("eps", c_double),
        ("momentum", c_double),
        ("max_grad_norm", c_double),
        ("label_smoothing", c_double),
        ("dropout", c_double),
        ("steps_done", c_int64),
        ("evaluated", POINTER(c_double)),
        ("n_evaluated", c_int64),
    ]


class ftc_loop_standing(Structure):
    _fields_ = [
        ("step", c_int64),
        ("max_steps", c_int64),
        ("epoch", c_double),
        ("loss", c_double),
        ("grad_norm", c_double),
        ("learning_rate", c_double),
        ("tokens", c_int64),
        ("flos", c_double),
    ]


ftc_loop_fn = CFUNCTYPE(c_int, c_void_p, c_int, POINTER(ftc_loop_standing))
ftc_evaluate_fn = CFUNCTYPE(c_int, c_void_p, c_int64, c_int64)
ftc_dump_fn = CFUNCTYPE(None, c_void_p, c_char_p, c_char_p)


class ftc_kernel_desc(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("phase", c_char_p),
        ("plain", c_char_p),
        ("line", c_int32),
        ("flops", c_double),
        ("bytes", c_double),
        ("seconds", c_double),
    ]


# --- the functions of ftc.h ------------------------------------------------------------------------------

_error = c_void_p
_out = POINTER(c_void_p)
_count = POINTER(c_int32)
_ids = POINTER(c_int32)
_offsets = POINTER(c_int64)
_floats = POINTER(c_float)

# Result and parameters. Handles are c_void_p; functions that fail give an error, which `check` raises.
FUNCTIONS = {
    "ftc_version": (c_char_p, []),
    "ftc_error_message": (c_char_p, [_error]),
    "ftc_error_status": (c_int, [_error]),
    "ftc_error_free": (None, [_error]),
    "ftc_net_open": (_error, [c_char_p, POINTER(ftc_net_options), _out]),
    "ftc_net_free": (None, [c_void_p]),
    "ftc_net_name": (c_char_p, [c_void_p]),
    "ftc_net_pretrained": (c_char_p, [c_void_p]),
    "ftc_net_recompiled": (c_char_p, [c_void_p]),
    "ftc_net_max_sequences": (c_int64, [c_void_p]),
    "ftc_net_max_length": (c_int64, [c_void_p]),
    "ftc_net_calls": (c_uint, [c_void_p]),
    "ftc_net_tensors": (POINTER(ftc_tensor_desc), [c_void_p, _count]),
    "ftc_net_extents": (POINTER(ftc_extent_desc), [c_void_p, _count]),
    "ftc_net_inputs": (POINTER(ftc_input_desc), [c_void_p, _count]),
    "ftc_net_scalars": (POINTER(ftc_scalar_desc), [c_void_p, _count]),
    "ftc_net_outputs": (POINTER(ftc_output_desc), [c_void_p, _count]),
    "ftc_net_text": (_error, [c_void_p, c_uint, c_char_p, POINTER(c_char_p)]),
    "ftc_text_free": (None, [c_char_p]),
    "ftc_net_dumps": (_error, [c_void_p, c_uint, ftc_dump_fn, c_void_p]),
    "ftc_net_times": (POINTER(ftc_time_desc), [c_void_p, _count]),
    "ftc_tokenizer_load": (_error, [c_char_p, _out]),
    "ftc_tokenizer_load_by_class": (_error, [c_char_p, _out]),
    "ftc_tokenizer_save": (_error, [c_void_p, c_char_p]),
    "ftc_tokenizer_free": (None, [c_void_p]),
    "ftc_tokenize": (_error, [c_void_p, c_char_p, c_char_p, c_int32, _ids, _ids, _ids]),
    "ftc_trainer_create": (_error, [c_void_p, POINTER(ftc_trainer_options), _out]),
    "ftc_trainer_free": (None, [c_void_p]),
    "ftc_trainer_init": (None, [c_void_p]),
    "ftc_trainer_load": (_error, [c_void_p, c_char_p]),
    "ftc_trainer_initialized": (POINTER(c_char_p), [c_void_p, _count]),
    "ftc_trainer_unused": (POINTER(c_char_p), [c_void_p, _count]),
    "ftc_trainer_tensor": (c_void_p, [c_void_p, c_char_p]),
    "ftc_trainer_borrow": (c_void_p, [c_void_p, c_char_p]),
    "ftc_trainer_sync": (None, [c_void_p]),
    "ftc_trainer_assign": (_error, [c_void_p, POINTER(ftc_weight), c_int32]),
    "ftc_trainer_set": (_error, [c_void_p, c_char_p, c_double]),
    "ftc_trainer_bind_inputs": (
        _error,
        [c_void_p, POINTER(ftc_extent_size), c_int32, POINTER(ftc_input_cells), c_int32],
    ),
    "ftc_trainer_bind": (_error, [c_void_p, c_int32, POINTER(_ids), POINTER(_ids), _ids, _floats]),
    "ftc_trainer_bind_packed": (_error, [c_void_p, c_int32, _offsets, _ids, _ids, _floats]),
    "ftc_trainer_step": (_error, [c_void_p]),
    "ftc_trainer_grad": (_error, [c_void_p]),
    "ftc_trainer_update": (_error, [c_void_p]),
    "ftc_trainer_eval": (_error, [c_void_p]),
    "ftc_trainer_output": (c_void_p, [c_void_p, c_char_p, POINTER(c_int64)]),
    "ftc_trainer_steps": (c_int64, [c_void_p]),
    "ftc_trainer_set_steps": (None, [c_void_p, c_int64]),
    "ftc_trainer_run": (
        _error,
        [c_void_p, POINTER(ftc_examples), POINTER(ftc_loop_options), ftc_loop_fn, c_void_p],
    ),
    "ftc_trainer_evaluated": (_error, [c_void_p, c_double]),
    "ftc_trainer_evaluate": (
        _error,
        [c_void_p, POINTER(ftc_examples), c_int64, ftc_evaluate_fn, c_void_p, POINTER(c_double), _floats],
    ),
    "ftc_trainer_save_moments": (_error, [c_void_p, c_char_p]),
    "ftc_trainer_load_moments": (_error, [c_void_p, c_char_p]),
    "ftc_trainer_kernels": (POINTER(ftc_kernel_desc), [c_void_p, c_uint, _count]),
    "ftc_trainer_explain": (_error, [c_void_p, c_uint, c_char_p, POINTER(c_char_p)]),
    "ftc_trainer_interpret": (_error, [c_void_p, _out]),
    "ftc_interpretation_free": (None, [c_void_p]),
    "ftc_interpretation_value": (POINTER(c_double), [c_void_p, c_char_p, POINTER(c_int64)]),
    "ftc_trainer_save": (_error, [c_void_p, c_char_p, c_char_p, POINTER(c_char_p)]),
}


def _path() -> str:
    """FTC_LIBRARY (a build of the repository), or the library that was installed with the package."""
    named = os.environ.get("FTC_LIBRARY")
    if named:
        return named
    beside = pathlib.Path(__file__).parent / "libftc.so"
    if not beside.exists():
        raise ImportError(
            f"{beside} is missing: install the package (pip install . in a clone of the repository), or name a "
            "libftc.so by the environment variable FTC_LIBRARY"
        )
    return str(beside)


def _load() -> ctypes.CDLL:
    library = ctypes.CDLL(_path())  # which releases the GIL for every call
    for name, (result, parameters) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, parameters
    return library


library = _load()


def check(error: int | None) -> None:
    """Raises the error that a function of libftc gave, with its diagnostic as the text."""
    if not error:
        return
    message = library.ftc_error_message(error).decode(errors="replace")
    status = library.ftc_error_status(error)
    library.ftc_error_free(error)
    raise (InputError if status == 2 else TrainingError)(message)


def encode(value: object, what: str) -> bytes:
    """A text or path as C wants it."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, bytes):
        data = value
    elif isinstance(value, str):
        data = value.encode("utf-8", "surrogateescape")
    else:
        raise TypeError(f"{what} is {type(value).__name__}: expected a text or a path")
    if b"\0" in data:
        raise ValueError(f"{what} has a character of code 0")
    return data


def text_list(values: list[bytes]) -> ctypes.Array:
    """A list of texts that ends with NULL. It borrows them."""
    return (c_char_p * (len(values) + 1))(*values, None)
