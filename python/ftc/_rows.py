"""Rows of Parquet and Arrow files, by pyarrow, which is imported only here."""

from __future__ import annotations

import json
import math
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from ._library import InputError


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise ImportError("Parquet and Arrow files take the package pyarrow: pip install pyarrow") from error
    return pyarrow


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    """The files of a folder in order: as datasets' save_to_disk lists them, else by name."""
    if not path.is_dir():
        return [path]
    state = path / "state.json"
    if state.exists():
        return [path / one["filename"] for one in json.loads(state.read_text(encoding="utf-8"))["_data_files"]]
    found = sorted(one for kind in ("*.parquet", "*.arrow") for one in path.glob(kind))
    if not found:
        raise InputError(f"{path}: has no .parquet and no .arrow files")
    return found


def _read(path: pathlib.Path) -> Any:
    pa = _pyarrow()
    with open(path, "rb") as file:
        start = file.read(6)
    try:
        if start[:4] == b"PAR1":
            return pa.parquet.read_table(path)
        if start == b"ARROW1":
            return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        if start[:4] == b"\xff\xff\xff\xff":
            return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    except pa.ArrowException as error:
        raise InputError(f"{path}: {error}") from error
    raise InputError(f"{path}: neither a Parquet nor an Arrow file")


def _features(table: Any, where: str) -> dict[str, Any]:
    """What datasets says of the columns in a table's metadata, as it writes its Features; empty where others wrote it."""
    text = (table.schema.metadata or {}).get(b"huggingface")
    try:
        features = json.loads(text)["info"]["features"] if text else {}
    except (ValueError, KeyError, TypeError):
        raise InputError(f'{where}: its metadata "huggingface" are not those that datasets writes') from None
    return {name: features[name] for name in table.column_names if name in features}


def _class_names(feature: Any) -> list[str] | None:
    """The names of a feature's classes; None: it is no ClassLabel. A list of them has those of its elements."""
    while isinstance(feature, list) and feature or isinstance(feature, dict) and {"_type", "feature"} <= feature.keys():
        feature = feature[0] if isinstance(feature, list) else feature["feature"]
    return feature["names"] if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None


class Rows(Sequence):
    """Rows of a table as dicts, each made when it is asked for. `column_names` are its columns, `class_names` what the
    numbers of those are called that hold classes (datasets' ClassLabel), also in lists."""

    def __init__(self, table: Any, features: dict[str, Any]) -> None:
        self._table = table
        self.column_names: list[str] = list(table.column_names)
        named = {name: _class_names(feature) for name, feature in features.items()}
        self.class_names: dict[str, list[str]] = {name: names for name, names in named.items() if names is not None}

    def __len__(self) -> int:
        return self._table.num_rows

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        return self._table.slice(i % len(self), 1).to_pylist()[0]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self._table.to_batches(max_chunksize=1024):
            yield from batch.to_pylist()


def read_rows(*paths: str | os.PathLike) -> Rows:
    """The rows of Parquet and Arrow files, or of folders of them (also what datasets' save_to_disk writes), for
    Trainer: ftc.Trainer(…, train_dataset=ftc.read_rows("train.parquet")). All must have the same columns. Needs pyarrow.
    """
    pa = _pyarrow()
    files = [file for path in paths for file in _files(pathlib.Path(path))]
    if not files:
        raise InputError("read_rows: no file is named")
    tables = [_read(file) for file in files]
    features = [_features(table, str(file)) for table, file in zip(tables, files)]
    for file, other in zip(files, features):
        for column in {*features[0], *other}:
            if _class_names(features[0].get(column)) != _class_names(other.get(column)):
                raise InputError(f'{file}: the classes of "{column}" have other names than in {files[0]}')
    try:
        return Rows(pa.concat_tables(tables), features[0])
    except pa.ArrowException as error:
        raise InputError(f"{', '.join(map(str, paths))}: {error}") from error


def _plain(value: Any, column: str) -> Any:
    """A value as JSON has it; what is no number stays none."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (list, tuple)):
        return [_plain(one, column) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one, column) for name, one in value.items()}
    if isinstance(value, (bytes, bytearray)):
        raise InputError(f'the column "{column}" holds bytes, which JSON has not')
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def _named(value: Any, names: list[str], column: str) -> Any:
    """The names of classes for their numbers; for -1, which is datasets' word for no label, None."""
    if isinstance(value, list):
        return [_named(one, names, column) for one in value]
    if value is None or value == -1:
        return None
    if not 0 <= value < len(names):
        raise InputError(f'the column "{column}" holds the class {value}, but names of {len(names)} classes')
    return names[value]


def json_lines(rows: Rows) -> Iterator[str]:
    """Each row as a line that ftc's commands read; classes that have names by these."""
    for row in rows:
        for column, names in rows.class_names.items():
            row[column] = _named(row[column], names, column)
        yield json.dumps({name: _plain(value, name) for name, value in row.items()}, ensure_ascii=False)
