"""A compiled model with its weights, for loops of one's own: NumPy in and out."""

from __future__ import annotations

import ctypes
import dataclasses
import difflib
import functools
import operator
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import _library as c
from ._library import InputError, check, encode, library

# In the order of ftc_element. bf16 has no NumPy type: its bits.
_DTYPES = [np.dtype(np.float32), np.dtype(np.uint16), np.dtype(np.int32), np.dtype(np.uint32), np.dtype(np.bool_)]
_PARAMETER, _MOMENT, _GRADIENT = range(3)


class Axis(NamedTuple):
    """An axis of an input or output: of constant `size`, or as long as the extent of this name says."""

    name: str
    extent: str | None
    size: int


class Input(NamedTuple):
    """What a model reads. `source`: what feeds it from files: "tokens", "token_types", "label" or "column".
    Values lie in 0 … bound-1, where bound is not 0."""

    name: str
    source: str
    dtype: np.dtype
    bound: int
    axes: tuple[Axis, ...]


class Output(NamedTuple):
    """What a model writes. `role`: "loss", "scores", "embedding", "norm", "weight" or "value"; `calls` of "step", "grad",
    "update" and "eval" write it."""

    name: str
    role: str
    dtype: np.dtype
    calls: frozenset[str]
    axes: tuple[Axis, ...]


class Extent(NamedTuple):
    """How long things are in a batch: `least` to `most` elements, or, where it is ragged over another axis, so many for
    each of that axis' elements."""

    name: str
    ragged_over: str | None
    least: int
    most: int


class Kernel(NamedTuple):
    """A kernel of a call. `line`: of `net.source`, where its result was asked for. `plain`: why it computes by rows what
    tiles are for, or None. `flops` and `bytes` are those of the batch at hand, `seconds` the mean of the calls so far."""

    name: str
    phase: str
    line: int
    flops: float
    bytes: float
    seconds: float
    plain: str | None


class Outputs(dict):
    """The outputs of a call by name, also as attributes: numbers where they have no axes, else arrays (copies); a list of
    arrays, one for each sequence, where they have a ragged axis."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the call gave no output {name!r}; it gave {', '.join(self) or 'none'}") from None


@dataclasses.dataclass(frozen=True)
class Verification:
    """How far the compiled call is from the interpreter, which computes op by op in double: relative differences.
    True where all of them are within `tolerance` (losses within a tenth of it)."""

    passed: bool
    loss: float
    gradients: dict[str, float]
    outputs: dict[str, float]
    tolerance: float

    def __bool__(self) -> bool:
        return self.passed


class Tokenizer:
    """The tokenizer of a Hugging Face directory (tokenizer.json, or vocab.txt), as the command `ftc` reads it.
    by_class: normalizer and pre-tokenizer are those that transformers 5 makes by the tokenizer's class."""

    def __init__(self, directory: str | os.PathLike, *, by_class: bool = False) -> None:
        handle = ctypes.c_void_p()
        self._handle, self._again = None, functools.partial(Tokenizer, directory, by_class=by_class)
        load = library.ftc_tokenizer_load_by_class if by_class else library.ftc_tokenizer_load
        check(load(encode(directory, "directory"), ctypes.byref(handle)))
        self._handle = handle

    def save_pretrained(self, directory: str | os.PathLike) -> None:
        """Writes its files into a directory so that whoever reads them there, ftc or transformers, gets its tokens."""
        check(library.ftc_tokenizer_save(self._handle, encode(directory, "directory")))

    def __call__(self, text: str, pair: str | None = None, max_length: int = 512) -> tuple[np.ndarray, np.ndarray]:
        """Token ids and their types, int32 [tokens] each, special tokens included, cut to `max_length` tokens."""
        most = _integer(max_length, "max_length", 0, 1 << 20)
        ids, types = np.empty(most, np.int32), np.empty(most, np.int32)
        count = ctypes.c_int32()
        check(
            library.ftc_tokenize(
                self._handle,
                encode(text, "text"),
                None if pair is None else encode(pair, "pair"),
                most,
                _pointer(ids, ctypes.c_int32),
                _pointer(types, ctypes.c_int32),
                ctypes.byref(count),
            )
        )
        return ids[: count.value].copy(), types[: count.value].copy()

    def __reduce__(self) -> tuple:
        """A copy reads the directory again."""
        return self._again, ()

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            library.ftc_tokenizer_free(self._handle)


# --- values for C ------------------------------------------------------------------------------------------


def _pointer(array: np.ndarray, kind: Any) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(kind))


def _integer(value: object, what: str, least: int, most: int) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{what} is {value!r}: expected an integer") from None
    if not least <= number <= most:
        raise InputError(f"{what} is {number}: expected {least} to {most}")
    return number


def _suggest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(names)}" if names else ""


def _cells(value: object, dtype: np.dtype, what: str) -> np.ndarray:
    """`value` as a contiguous array of this dtype, where no number changes but by rounding to float32."""
    try:
        array = np.asarray(value)
    except (ValueError, RuntimeError) as error:
        raise TypeError(f"{what}: {error}") from None
    if array.dtype == dtype:
        return np.asarray(array, order="C")
    kinds = {"f": "fiub", "i": "iub", "u": "iub", "b": "b"}[dtype.kind]
    if array.size == 0:
        return np.zeros(array.shape, dtype)
    if array.dtype.kind not in kinds:
        hint = " (sequences of different lengths go into a list of arrays)" if array.dtype.kind == "O" else ""
        raise TypeError(f"{what} has values of type {array.dtype}: expected {dtype}{hint}")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = array.min(), array.max()
        if low < limits.min or high > limits.max:
            raise InputError(f"{what} has the value {low if low < limits.min else high}: no {dtype}")
    with np.errstate(over="ignore"):
        return np.asarray(array, dtype, order="C")


class _Memory:
    """Cells that libftc owns, as NumPy looks at them; they live as long as an array of them."""

    def __init__(self, owner: _Handles, address: int, shape: tuple[int, ...], dtype: np.dtype, writable: bool) -> None:
        self._owner = owner
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (address, not writable),
        }


class _Handles:
    """A net and its trainer of libftc, freed when nobody needs them any more."""

    def __init__(self) -> None:
        self.net = ctypes.c_void_p()
        self.trainer = ctypes.c_void_p()
        self.process = os.getpid()

    def __reduce__(self) -> tuple:
        raise TypeError("a net is neither copied nor pickled, since libftc has its memory: save it, and compile the directory")

    def __del__(self) -> None:
        if self.process != os.getpid():
            return  # of a fork: the threads of the trainer are its parent's
        if self.trainer:
            library.ftc_trainer_free(self.trainer)
        if self.net:
            library.ftc_net_free(self.net)


class Tensors(Mapping[str, np.ndarray]):
    """Tensors by name as views of the memory that the compiled step reads and writes: no copies, and what is written into
    them counts in the next call. `tensors[name] = values` copies into the view."""

    def __init__(self, net: Net, kind: int, suffix: str = "") -> None:
        self._net, self._suffix = net, suffix
        self._shapes = {
            name.removesuffix(suffix): (shape, dtype) for name, of, shape, dtype in net._tensors if of == kind
        }

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._shapes:
            raise KeyError(f"there is no {name!r}{_suggest(str(name), list(self._shapes))}")
        shape, dtype = self._shapes[name]
        with self._net._entered():
            address = library.ftc_trainer_tensor(self._net._handles.trainer, (name + self._suffix).encode())
        if not address:
            raise KeyError(f"{name!r}: the net was compiled without a call that uses it")
        return np.asarray(_Memory(self._net._handles, address, shape, dtype, True))

    def __setitem__(self, name: str, values: object) -> None:
        view = self[name]
        array = _cells(values, view.dtype, repr(name))
        if array.shape != view.shape:
            raise InputError(f"{name!r} has the shape {view.shape}, not {array.shape}")
        view[...] = array

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def __repr__(self) -> str:
        lines = (f"  {name}: {dtype} {list(shape)}" for name, (shape, dtype) in self._shapes.items())
        return "\n".join(["{", *lines, "}"])


# --- the net -----------------------------------------------------------------------------------------------


def compile(
    path: str | os.PathLike,
    *,
    pretrained: str | os.PathLike | None = None,
    batch: int = 0,
    max_length: int = 0,
    set: Mapping[str, object] | None = None,
    calls: Sequence[str] = (),
    threads: int = 0,
    seed: int = 0,
    graphs: Mapping[str, str | os.PathLike] | None = None,
    kernels: Sequence[str | os.PathLike] = (),
    edits: str | Sequence[str] = (),
    **options: object,
) -> Net:
    """Compiles a model and gives it weights: those of the pretrained directory, or new ones.

    path: MODEL.ir, an artifact of `ftc compile` (MODEL.ftc), or a Hugging Face directory.
    pretrained: Hugging Face directory whose config.json gives the shapes and whose weights are loaded.
    batch, max_length: the most sequences in a batch and tokens in a sequence; 0: as the model says.
    set: entries of the model's config block, {"hidden": 256}.
    calls: of "step", "grad", "update" and "eval" those that will be made; none: all. Memory is taken for these only.
    threads: 0: one a processor. The results are the same bits for any number.
    seed: of new weights and of dropout.
    graphs: by call a graph that takes the place of its own: a text that `Net.dump` or `Net.dumps` gave, as it is or changed,
        or the path (pathlib.Path) of one.
    kernels: files with kernels that the model names by `extern`: C, LLVM's text (.ll) or objects (.o).
    edits: of the schedule of kernels, lines as "tile attention: block 64".
    options: further options of `ftc compile`, memory="2GB", precision="bf16", optim="sgd"; lists are given several times.

    Raises InputError, with the compiler's diagnostics, where the model or the options are wrong.
    """
    return Net(
        path,
        pretrained=pretrained,
        batch=batch,
        max_length=max_length,
        set=set,
        calls=calls,
        threads=threads,
        seed=seed,
        graphs=graphs,
        kernels=kernels,
        edits=edits,
        **options,
    )


def _option_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _option_texts(set_: Mapping[str, object] | None, options: Mapping[str, object]) -> list[bytes]:
    texts = [f"set={name}={_option_text(value)}" for name, value in (set_ or {}).items()]
    for name, value in options.items():
        several = value if isinstance(value, (list, tuple)) else [value]
        texts += [f"{name.replace('_', '-')}={_option_text(one)}" for one in several]
    return [encode(text, "option") for text in texts]


def _graph_texts(graphs: Mapping[str, str | os.PathLike]) -> ctypes.Array:
    list_ = (c.ftc_graph_text * len(graphs))()
    for one, (call, graph) in zip(list_, graphs.items()):
        one.call = _call_bits((call,))
        if isinstance(graph, os.PathLike):
            one.name = encode(graph, f"graphs[{call!r}]")
            with open(graph, "rb") as file:
                one.text = file.read()
        else:
            one.text = encode(graph, f"graphs[{call!r}]")
    return list_


def _call_bits(calls: Sequence[str]) -> int:
    if isinstance(calls, str):
        calls = (calls,)
    for call in calls:
        if call not in c.CALLS:
            raise InputError(f"calls has {call!r}{_suggest(str(call), list(c.CALLS))}")
    return sum(c.CALLS[call] for call in dict.fromkeys(calls))


def _axes(desc: Any) -> tuple[Axis, ...]:
    return tuple(
        Axis(axis.name.decode(), axis.extent.decode() if axis.extent else None, axis.size)
        for axis in desc.axes[: desc.rank]
    )


class Net:
    """A compiled model with its weights and its optimizer's state. `ftc.compile` makes it.

    step, grad, update and eval are the calls. They take inputs by name and set step arguments by name, which stay set:

        net.step(ids=[[5, 7, 9], [6, 8]], label=[1, 0], lr=5e-5)

    An input with a ragged axis (`ids : i32[B, S]`) is a list with a sequence for each element, an array [B, S] where all
    are of one length, or all its cells one after the other with `offsets` [B + 1] (a dict by extent where there are
    several). Other inputs are arrays of their axes' shape. Ids are integers, values anything that float32 holds.

    A net is for one thread at a time, and waits for it; the calls release the GIL. A process that was forked cannot use
    the nets of its parent.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        pretrained: str | os.PathLike | None = None,
        batch: int = 0,
        max_length: int = 0,
        set: Mapping[str, object] | None = None,
        calls: Sequence[str] = (),
        threads: int = 0,
        seed: int = 0,
        graphs: Mapping[str, str | os.PathLike] | None = None,
        kernels: Sequence[str | os.PathLike] = (),
        edits: str | Sequence[str] = (),
        weights: bool = True,
        **options: object,
    ) -> None:
        """See `ftc.compile`. weights=False: none yet; `init`, `load` or `assign` gives some."""
        self._handles = _Handles()
        self._lock = threading.RLock()
        self._lengths: dict[str, int | np.ndarray] = {}
        self._pending = 0
        texts = _option_texts(set, options)
        files = [kernels] if isinstance(kernels, (str, bytes, os.PathLike)) else kernels
        dumps = _graph_texts(graphs or {})
        asked = c.ftc_net_options(
            pretrained=None if pretrained is None else encode(pretrained, "pretrained"),
            batch=_integer(batch, "batch", 0, (1 << 31) - 1),
            max_length=_integer(max_length, "max_length", 0, (1 << 31) - 1),
            calls=_call_bits(calls),
            options=ctypes.cast(c.text_list(texts), ctypes.POINTER(ctypes.c_char_p)),
            graphs=dumps,
            n_graphs=len(dumps),
            kernels=ctypes.cast(c.text_list([encode(file, "kernels") for file in files]), ctypes.POINTER(ctypes.c_char_p)),
            edits=encode(edits if isinstance(edits, str) else "\n".join(edits), "edits"),
        )
        wanted = c.ftc_trainer_options(
            threads=_integer(threads, "threads", 0, 4096), seed=_integer(seed, "seed", 0, (1 << 64) - 1), calls=asked.calls
        )
        check(library.ftc_net_open(encode(path, "path"), ctypes.byref(asked), ctypes.byref(self._handles.net)))
        self._describe()
        check(
            library.ftc_trainer_create(
                self._handles.net, ctypes.byref(wanted), ctypes.byref(self._handles.trainer)
            )
        )
        if weights:
            self.load() if self.pretrained else self.init()

    def _list(self, function: Any) -> list[Any]:
        n = ctypes.c_int32()
        list_ = function(self._handles.net, ctypes.byref(n))
        return list_[: n.value]

    def _describe(self) -> None:
        net = self._handles.net
        self._tensors = [
            (t.name.decode(), t.kind, tuple(t.dims[: t.rank]), _DTYPES[t.type]) for t in self._list(library.ftc_net_tensors)
        ]
        self.extents = {
            e.name.decode(): Extent(e.name.decode(), e.ragged_over.decode() if e.ragged_over else None, e.least, e.most)
            for e in self._list(library.ftc_net_extents)
        }
        self.inputs = {
            i.name.decode(): Input(i.name.decode(), getattr(i, "from").decode(), _DTYPES[i.type], i.bound, _axes(i))
            for i in self._list(library.ftc_net_inputs)
        }
        self._outputs = {
            o.name.decode(): Output(
                o.name.decode(),
                getattr(o, "as").decode(),
                _DTYPES[o.type],
                frozenset(name for name, bit in c.CALLS.items() if o.calls & bit),
                _axes(o),
            )
            for o in self._list(library.ftc_net_outputs)
        }
        self._scalars = {s.name.decode(): float(s.initial) for s in self._list(library.ftc_net_scalars)}
        self.name: str = library.ftc_net_name(net).decode()
        pretrained, again = library.ftc_net_pretrained(net), library.ftc_net_recompiled(net)
        self.pretrained: str | None = os.fsdecode(pretrained) if pretrained else None
        self.recompiled: str | None = again.decode() if again else None
        bits = library.ftc_net_calls(net)
        self.calls = tuple(name for name, bit in c.CALLS.items() if bits & bit)

    def _entered(self) -> threading.RLock:
        """To be held around every use of the handles."""
        if self._handles.process != os.getpid():
            raise RuntimeError(
                f"the net {self.name} was made before this process was forked, and its threads are the parent's: make "
                "it in the process that uses it, or start processes by the method 'spawn'"
            )
        return self._lock

    # --- what it is ---

    @property
    def outputs(self) -> Mapping[str, Output]:
        """What the calls write, by name."""
        return dict(self._outputs)

    @property
    def arguments(self) -> dict[str, float]:
        """The step arguments ("lr", "weight_decay", …) and their values now. `net.set(lr=1e-4)` sets them."""
        return dict(self._scalars)

    @property
    def parameters(self) -> Tensors:
        """The weights, in the form that is saved, as views [dims]. To ask for one makes every update go through all rows
        of an embedding's table, where it else takes only those that had a gradient; the bits are the same."""
        return Tensors(self, _PARAMETER)

    @property
    def gradients(self) -> Tensors:
        """What `grad` adds to and `update` zeroes, by the parameter's name, as views [dims]."""
        return Tensors(self, _GRADIENT, ".grad")

    @property
    def moments(self) -> Tensors:
        """The optimizer's state, "<parameter>.exp_avg", as views [dims]."""
        return Tensors(self, _MOMENT)

    def _borrowed(self) -> dict[str, np.ndarray]:
        """All tensors that the calls use, as views, without making updates dense: after `sync` they are up to date."""
        with self._entered():
            addresses = {name: library.ftc_trainer_borrow(self._handles.trainer, name.encode()) for name, *_ in self._tensors}
        return {
            name: np.asarray(_Memory(self._handles, addresses[name], shape, dtype, True))
            for name, _, shape, dtype in self._tensors
            if addresses[name]
        }

    def _parameters(self) -> dict[str, np.ndarray]:
        views = self._borrowed()
        return {name: views[name] for name, kind, *_ in self._tensors if kind == _PARAMETER and name in views}

    def _sync(self) -> None:
        with self._entered():
            library.ftc_trainer_sync(self._handles.trainer)

    # --- weights ---

    def init(self) -> None:
        """Gives every parameter its initial value, a function of the seed and its name."""
        with self._entered():
            library.ftc_trainer_init(self._handles.trainer)

    def load(self, directory: str | os.PathLike | None = None) -> None:
        """Reads the parameters from DIRECTORY/model.safetensors (None: the directory that it was compiled against).
        `initialized` and `unused` tell what did not match."""
        with self._entered():
            path = None if directory is None else encode(directory, "directory")
            check(library.ftc_trainer_load(self._handles.trainer, path))

    def assign(self, weights: Mapping[str, np.ndarray]) -> None:
        """Gives every parameter a value, by name, in the form that is saved."""
        arrays = {name: _cells(values, _DTYPES[0], repr(name)) for name, values in weights.items()}
        shapes = [(ctypes.c_int64 * array.ndim)(*array.shape) for array in arrays.values()]
        list_ = (c.ftc_weight * max(len(arrays), 1))(
            *(
                c.ftc_weight(encode(name, "name"), array.ndim, shape, _pointer(array, ctypes.c_float))
                for (name, array), shape in zip(arrays.items(), shapes)
            )
        )
        with self._entered():
            check(library.ftc_trainer_assign(self._handles.trainer, list_, len(arrays)))

    def save(
        self,
        directory: str | os.PathLike,
        *,
        tokenizer: str | os.PathLike | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        """Writes a Hugging Face directory (config.json, model.safetensors, model.ir) that transformers and ftc read.
        tokenizer: directory whose tokenizer files are copied along. labels: the names of the classes."""
        path = encode(directory, "directory")
        files = None if tokenizer is None else encode(tokenizer, "tokenizer")
        names = None
        if labels is not None:
            columns = next((o.axes[-1].size for o in self._outputs.values() if o.role == "scores" and len(o.axes) > 1), 1)
            if len(labels) != columns:
                raise InputError(f"labels has {len(labels)} names, but the model has {columns} scores")
            names = c.text_list([encode(label, "label") for label in labels])
        with self._entered():
            check(library.ftc_trainer_save(self._handles.trainer, path, files, names))

    def _names(self, function: Any) -> list[str]:
        n = ctypes.c_int32()
        with self._entered():
            names = function(self._handles.trainer, ctypes.byref(n))
            return [name.decode() for name in names[: n.value]] if n.value else []

    @property
    def initialized(self) -> list[str]:
        """Of the last load: the parameters that the directory lacks."""
        return self._names(library.ftc_trainer_initialized)

    @property
    def unused(self) -> list[str]:
        """Of the last load: the directory's tensors that have no use."""
        return self._names(library.ftc_trainer_unused)

    @property
    def steps(self) -> int:
        """Steps and updates so far; it counts in Adam's bias corrections and in dropout. Can be set."""
        with self._entered():
            return int(library.ftc_trainer_steps(self._handles.trainer))

    @steps.setter
    def steps(self, steps: int) -> None:
        number = _integer(steps, "steps", 0, (1 << 31) - 2)
        with self._entered():
            library.ftc_trainer_set_steps(self._handles.trainer, number)
            self._pending = 0

    # --- the batch ---

    def _set_length(self, lengths: dict[str, Any], extent: str, value: Any, what: str) -> None:
        before = lengths.setdefault(extent, value)
        if not np.array_equal(before, value):
            kind = "lengths" if self.extents[extent].ragged_over else "number of elements"
            raise InputError(f"{what}: another {kind} of the axis {extent} than an input before it")

    def _pack(self, desc: Input, value: object, offsets: Mapping[str, np.ndarray], lengths: dict[str, Any]) -> np.ndarray:
        """The cells of an input in the order of memory; notes how long its axes are."""
        ragged = [axis for axis in desc.axes if axis.extent and self.extents[axis.extent].ragged_over]
        what, rank = f"input {desc.name!r}", len(desc.axes)
        if not ragged:
            array = _cells(value, desc.dtype, what)
            self._measure(desc.axes, array, what, lengths)
            return array
        if all(axis.extent in offsets for axis in ragged):
            array = _cells(value, desc.dtype, what)
            wanted = self._count(desc.axes, lengths)
            if array.size != wanted:
                raise InputError(f"{what} has {array.size} cells, but the offsets say {wanted}")
            return array
        over = str(self.extents[str(ragged[0].extent)].ragged_over)
        if isinstance(value, np.ndarray) and value.ndim == rank:
            blocks: list[np.ndarray] = list(_cells(value, desc.dtype, what))
        else:
            if isinstance(value, (str, bytes)) or not hasattr(value, "__len__") or not hasattr(value, "__iter__"):
                raise TypeError(f"{what} is {type(value).__name__}: expected a list with the cells of each {over}")
            blocks = [_cells(one, desc.dtype, f"{what}, {over} {i}") for i, one in enumerate(value)]
        for i, block in enumerate(blocks):
            if block.ndim != rank - 1:
                raise InputError(
                    f"{what}, {over} {i} has {block.ndim} axes: expected {rank - 1} ({', '.join(a.name for a in desc.axes[1:])})"
                )
        self._set_length(lengths, over, len(blocks), what)
        for k, axis in enumerate(desc.axes[1:]):
            sizes = np.fromiter((block.shape[k] for block in blocks), np.int64, len(blocks))
            if axis in ragged:
                self._set_length(lengths, str(axis.extent), sizes, what)
            elif any(sizes != axis.size):
                raise InputError(f"{what}: the axis {axis.name} has {axis.size} positions, not {sizes[sizes != axis.size][0]}")
        return np.concatenate([block.ravel() for block in blocks]) if blocks else np.zeros(0, desc.dtype)

    def _measure(self, axes: tuple[Axis, ...], array: np.ndarray, what: str, lengths: dict[str, Any]) -> None:
        if array.ndim != len(axes):
            raise InputError(
                f"{what} has {array.ndim} axes: expected {len(axes)} ({', '.join(axis.name for axis in axes) or 'a number'})"
            )
        for axis, size in zip(axes, array.shape):
            if axis.extent:
                self._set_length(lengths, axis.extent, size, what)
            elif size != axis.size:
                raise InputError(f"{what}: the axis {axis.name} has {axis.size} positions, not {size}")

    def _block_shapes(self, axes: tuple[Axis, ...], lengths: Mapping[str, Any]) -> list[tuple[int, ...]]:
        """Of an input or output with a ragged axis: the shape of each element's block."""
        n = next(len(lengths[a.extent]) for a in axes if a.extent and self.extents[a.extent].ragged_over)
        return [
            tuple(
                int(lengths[a.extent][i]) if a.extent and self.extents[a.extent].ragged_over else self._size(a, lengths)
                for a in axes[1:]
            )
            for i in range(n)
        ]

    def _size(self, axis: Axis, lengths: Mapping[str, Any]) -> int:
        return axis.size if axis.extent is None else int(lengths.get(axis.extent, self.extents[axis.extent].most))

    def _count(self, axes: tuple[Axis, ...], lengths: Mapping[str, Any]) -> int:
        return sum(int(np.prod(shape)) for shape in self._block_shapes(axes, lengths))

    def _offsets(self, offsets: object, lengths: dict[str, Any]) -> dict[str, np.ndarray]:
        """Offsets that were given, by extent; notes the lengths."""
        if offsets is None:
            return {}
        ragged = [e.name for e in self.extents.values() if e.ragged_over]
        if not isinstance(offsets, Mapping):
            if len(ragged) != 1:
                raise InputError(f"offsets: a dict by extent is expected, of {', '.join(ragged) or 'none'}")
            offsets = {ragged[0]: offsets}
        found = {}
        for name, values in offsets.items():
            if name not in ragged:
                raise InputError(f"offsets: there is no ragged extent {name!r}{_suggest(str(name), ragged)}")
            array = _cells(values, np.dtype(np.int64), f"offsets of {name}")
            if array.ndim != 1 or len(array) < 1 or array[0] != 0 or np.any(np.diff(array) < 0):
                raise InputError(f"offsets of {name}: expected [n + 1] numbers that begin with 0 and do not decrease")
            found[name] = array
            lengths[name] = np.diff(array)
            self._set_length(lengths, str(self.extents[name].ragged_over), len(array) - 1, f"offsets of {name}")
        return found

    def _bind(self, given: Mapping[str, object], offsets: object, evaluates: bool) -> bool:
        """Makes a batch the one at hand. Whether it has labels, or needs none."""
        lengths: dict[str, Any] = {}
        starts = self._offsets(offsets, lengths)
        cells = {name: self._pack(self.inputs[name], value, starts, lengths) for name, value in given.items()}
        labelled = True
        for name, desc in self.inputs.items():
            optional = desc.source == "token_types" or (desc.source == "label" and evaluates)
            if name in cells or not optional or any(a.extent and a.extent not in lengths for a in desc.axes):
                continue
            ragged = any(a.extent and self.extents[a.extent].ragged_over for a in desc.axes)
            n = self._count(desc.axes, lengths) if ragged else np.prod([self._size(a, lengths) for a in desc.axes])
            cells[name] = np.zeros(int(n), desc.dtype)
            labelled = labelled and desc.source != "label"
        sizes = (c.ftc_extent_size * max(len(lengths), 1))()
        kept = []
        for i, (name, length) in enumerate(lengths.items()):
            if self.extents[name].ragged_over:
                ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(length, dtype=np.int64)])
                kept.append(ends)
                sizes[i] = c.ftc_extent_size(name.encode(), len(length), _pointer(ends, ctypes.c_int64))
            else:
                sizes[i] = c.ftc_extent_size(name.encode(), length, None)
        inputs = (c.ftc_input_cells * max(len(cells), 1))(
            *(c.ftc_input_cells(name.encode(), array.ctypes.data) for name, array in cells.items())
        )
        check(library.ftc_trainer_bind_inputs(self._handles.trainer, sizes, len(lengths), inputs, len(cells)))
        self._lengths = lengths
        return labelled

    # --- the calls ---

    def set(self, **arguments: float) -> None:
        """Sets step arguments for the calls to come: `net.set(lr=1e-4, weight_decay=0.01)`."""
        with self._entered():
            for name, value in arguments.items():
                if name not in self._scalars:
                    raise InputError(f"the model {self.name} has no argument {name!r}{_suggest(name, list(self._scalars))}")
                try:
                    number = float(value)
                except (TypeError, ValueError):
                    raise TypeError(f"{name} is {value!r}: expected a number") from None
                check(library.ftc_trainer_set(self._handles.trainer, name.encode(), number))
                self._scalars[name] = number

    def _call(self, call: str, inputs: Mapping[str, object] | None, offsets: object, named: Mapping[str, object]) -> Outputs:
        given = {**(inputs or {})}
        arguments = {}
        for name, value in named.items():
            (given if name in self.inputs else arguments)[name] = value
        for name in [*given, *arguments]:
            if name not in self.inputs and name not in self._scalars:
                known = [*self.inputs, *self._scalars]
                raise InputError(f"the model {self.name} has no input or argument {name!r}{_suggest(str(name), known)}")
        with self._entered():
            if call not in self.calls:
                raise InputError(f"{call}: the net was compiled without it; there are {', '.join(self.calls)}")
            self.set(**arguments)  # type: ignore[arg-type]
            labelled = self._bind(given, offsets, call == "eval") if call != "update" else True
            check(getattr(library, f"ftc_trainer_{call}")(self._handles.trainer))
            self._pending = self._pending + 1 if call == "grad" else 0 if call in ("update", "step") else self._pending
            return Outputs(
                (name, self._read(output))
                for name, output in self._outputs.items()
                if call in output.calls and (labelled or output.role not in ("loss", "weight"))
            )

    def step(self, inputs: Mapping[str, object] | None = None, *, offsets: object = None, **named: object) -> Outputs:
        """Forward, backward and update in one: the fastest. Inputs and step arguments by name; `inputs` is a dict for those
        whose name is no Python name. Raises TrainingError, with nothing changed, where the loss is not finite."""
        return self._call("step", inputs, offsets, named)

    def grad(self, inputs: Mapping[str, object] | None = None, *, offsets: object = None, **named: object) -> Outputs:
        """Forward and backward, added to `gradients`, divided by the argument "accumulation"."""
        return self._call("grad", inputs, offsets, named)

    def update(self, **arguments: float) -> Outputs:
        """Clips `gradients` to the norm "max_grad_norm", updates the weights by them, and zeroes them."""
        unknown = [name for name in arguments if name in self.inputs]
        if unknown:
            raise InputError(f"update takes no inputs, but {unknown[0]!r} is one")
        return self._call("update", None, None, arguments)

    def eval(self, inputs: Mapping[str, object] | None = None, *, offsets: object = None, **named: object) -> Outputs:
        """Forward without dropout. Labels may be left out; then there is no loss."""
        return self._call("eval", inputs, offsets, named)

    def output(self, name: str) -> np.ndarray:
        """Where the calls write an output: a view of all its cells [cells], which the next call overwrites."""
        if name not in self._outputs:
            raise KeyError(f"there is no output {name!r}{_suggest(str(name), list(self._outputs))}")
        cells = ctypes.c_int64()
        with self._entered():
            address = library.ftc_trainer_output(self._handles.trainer, name.encode(), ctypes.byref(cells))
        if not address:
            raise KeyError(f"no call of this net writes the output {name!r}")
        return np.asarray(_Memory(self._handles, address, (cells.value,), self._outputs[name].dtype, False))

    def _read(self, output: Output) -> Any:
        cells = self.output(output.name)
        return self._shape(output, cells.item() if not output.axes else cells.copy())

    def _shape(self, output: Output, cells: Any) -> Any:
        if not output.axes:
            return cells
        if not any(a.extent and self.extents[a.extent].ragged_over for a in output.axes):
            return cells.reshape([self._size(axis, self._lengths) for axis in output.axes])
        shapes = self._block_shapes(output.axes, self._lengths)
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
        return [part.reshape(shape) for part, shape in zip(np.split(cells, ends[:-1]), shapes)]

    # --- looking ---

    def kernels_of(self, call: str) -> list[Kernel]:
        """The kernels of "step", "grad", "update" or "eval", in the order of execution."""
        n = ctypes.c_int32()
        with self._entered():
            found = library.ftc_trainer_kernels(self._handles.trainer, _call_bits((call,)), ctypes.byref(n))
            if not found:
                raise InputError(f"{call}: the net was compiled without it; there are {', '.join(self.calls)}")
            return [
                Kernel(
                    k.name.decode(),
                    k.phase.decode(),
                    k.line,
                    k.flops,
                    k.bytes,
                    k.seconds,
                    k.plain.decode() if k.plain else None,
                )
                for k in found[: n.value]
            ]

    @property
    def kernels(self) -> list[Kernel]:
        """The kernels of a step: name, phase, line, FLOPs, bytes and time."""
        return self.kernels_of("step")

    def dump(self, stage: str, call: str = "step") -> str:
        """The model at a stage of the compiler: "source", "expand" (before the first pass), a pass ("fuse": after it),
        "kernels" (after the last), "llvm" or "asm". It is compiled again, as it was."""
        text = ctypes.c_char_p()
        with self._entered():
            check(library.ftc_net_text(self._handles.net, _call_bits((call,)), encode(stage, "stage"), ctypes.byref(text)))
        return _taken(text)

    def dumps(self, call: str = "step") -> dict[str, str]:
        """The graph of a call at all stages, by stage and in their order: "expand", then the passes. Each can be given back,
        changed: `ftc.compile(path, graphs={"step": text})`."""
        found: dict[str, str] = {}

        def told(_: object, stage: bytes, text: bytes) -> None:
            found[stage.decode()] = text.decode()

        with self._entered():
            check(library.ftc_net_dumps(self._handles.net, _call_bits((call,)), c.ftc_dump_fn(told), None))
        return found

    @property
    def times(self) -> dict[str, dict[str, float]]:
        """Where the time went that compiling took, in seconds: passes and further parts, each by call, or as "all" where it
        is done for all calls at once. Empty where the code was an artifact's."""
        times = self._list(library.ftc_net_times)
        return {
            t.name.decode(): {"all": t.seconds[0]} if t.is_of_all else dict(zip(c.CALLS, t.seconds)) for t in times
        }

    def explain(self, kernel: str | None = None, call: str = "step") -> str:
        """What `ftc explain` tells of a kernel ("dot8"), or of all: operations and lines, what it reads, why it ends where it
        ends, what it costs, and which peak of this machine, measured now, binds it."""
        text = ctypes.c_char_p()
        name = None if kernel is None else encode(kernel, "kernel")
        with self._entered():
            check(library.ftc_trainer_explain(self._handles.trainer, _call_bits((call,)), name, ctypes.byref(text)))
        return _taken(text)

    @property
    def source(self) -> str:
        """The model's text with all values in place."""
        return self.dump("source")

    def llvm(self, call: str = "step") -> str:
        """The code that the kernels become, in LLVM's language."""
        return self.dump("llvm", call)

    def asm(self, call: str = "step") -> str:
        """The machine code, as assembly."""
        return self.dump("asm", call)

    def interpret(self) -> dict[str, Any]:
        """What `grad` gives for the batch at hand in step 1 by the interpreter, op by op in double: outputs by name, and
        gradients as "<parameter>.grad". Slow: seconds where `grad` takes a millisecond."""
        handle, cells = ctypes.c_void_p(), ctypes.c_int64()
        values: dict[str, Any] = {}
        with self._entered():
            check(library.ftc_trainer_interpret(self._handles.trainer, ctypes.byref(handle)))
            try:
                wanted = [(o.name, o, None) for o in self._outputs.values() if "grad" in o.calls]
                wanted += [(name, None, shape) for name, kind, shape, _ in self._tensors if kind == _GRADIENT]
                for name, output, shape in wanted:
                    found = library.ftc_interpretation_value(handle, name.encode(), ctypes.byref(cells))
                    if not found:
                        continue
                    array = np.ctypeslib.as_array(found, (cells.value,)).copy()
                    if output:
                        values[name] = self._shape(output, array.item() if not output.axes else array)
                    else:
                        values[name] = array.reshape(shape)
            finally:
                library.ftc_interpretation_free(handle)
        return values

    def verify(self, tolerance: float = 1e-4) -> Verification:
        """Compares `grad` on the batch at hand, compiled and by the interpreter. Gradients must be zero: before the first
        `grad`, or after an `update`. They are zero afterwards, and the number of steps is as it was."""
        if self._pending:
            raise InputError("verify: there are gradients that no update has taken yet; call update first")
        with self._entered():
            right = self.interpret()
            steps = self.steps
            self.steps = 0
            try:
                check(library.ftc_trainer_grad(self._handles.trainer))
            finally:
                self.steps = steps
            gradients = self.gradients
            got = {name: gradients[name].astype(np.float64) for name in gradients}
            for name in gradients:
                gradients[name][...] = 0
            outputs = {
                name: _difference(right[name], self._read(o))
                for name, o in self._outputs.items()
                if name in right and o.role != "loss"
            }
            loss = next((o.name for o in self._outputs.values() if o.role == "loss"), None)
            found = _difference(right[loss], self._read(self._outputs[loss])) if loss else 0.0
        largest = max((float(np.linalg.norm(right[f"{name}.grad"])) for name in got if f"{name}.grad" in right), default=0)
        differences = {
            name: _difference(right[f"{name}.grad"], value, 1e-3 * largest)
            for name, value in got.items()
            if f"{name}.grad" in right
        }
        passed = found <= tolerance / 10 and all(d <= tolerance for d in [*differences.values(), *outputs.values()])
        return Verification(passed, found, differences, outputs, tolerance)

    def __repr__(self) -> str:
        parameters = sum(int(np.prod(shape)) for _, kind, shape, _ in self._tensors if kind == _PARAMETER)
        lines = [f"<ftc.Net {self.name}: {parameters:,} parameters; {', '.join(self.calls)}"]
        for title, list_ in (("input", self.inputs), ("output", self._outputs)):
            for one in list_.values():
                axes = ", ".join(axis.name for axis in one.axes)
                lines.append(f"  {title} {one.name}: {one.dtype}[{axes}]")
        return "\n".join(lines) + ">"


def _taken(text: ctypes.c_char_p) -> str:
    """A text that is ours to free."""
    try:
        return (text.value or b"").decode()
    finally:
        library.ftc_text_free(text)


def _difference(right: Any, got: Any, least: float = 0) -> float:
    """The norm of the difference over the norm, or over `least` where that is more."""
    if isinstance(right, list):
        right = np.concatenate([np.ravel(one) for one in right]) if right else np.zeros(0)
        got = np.concatenate([np.ravel(one) for one in got]) if got else np.zeros(0)
    right, got = np.asarray(right, np.float64), np.asarray(got, np.float64)
    difference = float(np.linalg.norm((right - got).ravel()))
    return difference / max(float(np.linalg.norm(right.ravel())), least, 1e-30) if difference else 0.0
