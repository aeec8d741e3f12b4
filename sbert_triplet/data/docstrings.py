"""``docstrings:``, real text that every machine has: what Python sources say about themselves.

A query is the first paragraph of a docstring; its document is the qualified name, the arguments and
the rest. Sources are the standard library and the installed packages of the running interpreter;
they are parsed, never imported. The text stays on this machine like any other training text.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import json
import platform
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sbert_triplet.data.cache import cache_folder, new_file
from sbert_triplet.data.docstring_parser import PARSER_VERSION, Pair, Seen, Task
from sbert_triplet.data.docstring_workers import parse_tasks
from sbert_triplet.errors import DataError, MachineError

_SOURCE = re.compile(r"docstrings:(?P<names>[\w,. -]*)(?:\?limit_per_package=(?P<limit>\d+))?")
_GRAMMAR = (
    "docstrings:, docstrings:numpy,scipy, docstrings:stdlib, each with ?limit_per_package=300 if wanted"
)
_STANDARD = "stdlib"
_SKIPPED_FOLDERS = {
    *("test", "tests", "_tests", "idle_test", "testdata", "test_data", "conftest"),
    *(
        "_vendor",
        "vendor",
        "_vendored",
        "vendored",
        "_vendored_packages",
        "third_party",
        "externals",
        "extern",
    ),
    *("__pycache__", "site-packages", "dist-packages", "lib-dynload", "node_modules", "_bundled"),
}
_SKIPPED_FILES = re.compile(r"(?:test_.*|.*_test|conftest|setup|_sysconfigdata.*|_pb2)\.py")
_SKIPPED_PACKAGES = {"sbert_triplet", "antigravity", "this", "idlelib", "lib2to3", "turtledemo", "__phello__"}
_SELECTION_VERSION = 1
_TASK_BYTES = 2_000_000
_ENOUGH = 2


@dataclass(frozen=True)
class DocstringsSource:
    """``packages``: which ones, all if empty. ``limit_per_package``: at most so many pairs of each."""

    packages: tuple[str, ...] = ()
    limit_per_package: int | None = None


def parse_docstrings_source(text: str) -> DocstringsSource:
    """``docstrings:[name,name...][?limit_per_package=N]``. Raises DataError for anything else."""
    found = _SOURCE.fullmatch(text.strip())
    if found is None or found["limit"] == "0":
        raise DataError(f"{text}: not understood; write {_GRAMMAR}.")
    names = tuple(name.strip() for name in found["names"].split(",") if name.strip())
    return DocstringsSource(tuple(dict.fromkeys(names)), int(found["limit"]) if found["limit"] else None)


def load_docstrings(
    source: DocstringsSource, *, cache_dir: Path | None = None
) -> tuple[datasets.Dataset, tuple[str, ...]]:
    """Pairs of the installed packages: columns anchor, positive, package, module, name.

    Kept as parquet in the cache folder, by interpreter, installed versions and choice of packages.
    ``package`` is the top-level name (``json``, ``numpy``): hold whole packages out by it.
    Raises DataError for a package that is not there and where nothing was found.
    """
    packages = _chosen(installed_packages(), source.packages)
    target = (
        (cache_dir or cache_folder()) / "docstrings" / f"{_key(packages, source.limit_per_package)}.parquet"
    )
    table = _cached(target)
    notes = ["the docstrings of this interpreter's standard library and packages, kept on this machine"]
    if table is None:
        table, broken = docstring_table(packages, source.limit_per_package)
        if broken:
            notes.append(f"{broken} source files could not be parsed")
        try:
            with new_file(target) as written:
                pq.write_table(table, written, compression="zstd")
        except MachineError as error:
            notes.append(f"not kept for the next run: {error}")
    if not len(table):
        raise DataError(
            f"docstrings: none to be found in {', '.join(sorted(packages))[:200] or 'this interpreter'}."
        )
    notes.append(f"{len(table)} pairs of {pc.count_distinct(table['package'])} packages")
    return datasets.Dataset(table), tuple(notes)


def installed_packages() -> dict[str, Path]:
    """Top-level module or package name -> its file or folder, without this package and without tests.

    The standard library first, then the folders of installed packages in the order of ``sys.path``;
    the first of a name counts, as for import.
    """
    found: dict[str, Path] = {}
    for folder in [_standard_library(), *_site_folders()]:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            name = path.stem if path.suffix == ".py" else path.name
            if name.isidentifier() and _is_package(path) and name not in found:
                found[name] = path
    return found


def _standard_library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _site_folders() -> list[Path]:
    named = [Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    named += [Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")]
    return list(dict.fromkeys(path.resolve() for path in named))


def _is_package(path: Path) -> bool:
    if path.suffix == ".py":
        return path.stem not in _SKIPPED_PACKAGES and not _SKIPPED_FILES.fullmatch(path.name)
    if path.name in _SKIPPED_PACKAGES | _SKIPPED_FOLDERS or not path.is_dir():
        return False
    return (path / "__init__.py").is_file()


def _chosen(packages: dict[str, Path], names: tuple[str, ...]) -> dict[str, Path]:
    if not names:
        return packages
    standard = {name: path for name, path in packages.items() if path.parent == _standard_library()}
    chosen: dict[str, Path] = {}
    for name in names:
        if name != _STANDARD and name not in packages:
            near = difflib.get_close_matches(name, [*packages, _STANDARD], n=3)
            advice = f" Did you mean {' or '.join(near)}?" if near else ""
            raise DataError(f"docstrings: no installed package {name!r} with Python sources.{advice}")
        chosen |= standard if name == _STANDARD else {name: packages[name]}
    return chosen


def _key(packages: dict[str, Path], limit: int | None) -> str:
    versions = sorted(
        {(found.name, found.version) for found in importlib.metadata.distributions() if found.name}
    )
    interpreter = (platform.python_implementation(), platform.python_version(), sys.platform)
    said = json.dumps([PARSER_VERSION, _SELECTION_VERSION, interpreter, versions, sorted(packages), limit])
    return hashlib.sha256(said.encode()).hexdigest()[:40]


def _cached(target: Path) -> pa.Table | None:
    try:
        return pq.read_table(target) if target.is_file() else None
    except (pa.ArrowException, OSError):
        return None


def docstring_table(
    packages: dict[str, Path], limit_per_package: int | None = None, workers: int | None = None
) -> tuple[pa.Table, int]:
    """The pairs of the given packages, in order of package, module and line; and the number of files
    that could not be parsed. The result does not depend on ``workers``.

    A pair whose query or text stood before, in any package, is left out. With a limit, files are read
    in the order of a hash of their module until there are enough, and those pairs stay whose names
    have the smallest hashes: any part of a package is as likely as any other.
    """
    tasks: list[Task] = []
    owners: list[str] = []
    for package, path in sorted(packages.items()):
        for task in _tasks(package, path, limit_per_package):
            tasks.append(task)
            owners.append(package)
    seen = Seen()
    rows: list[tuple[str, Pair]] = []
    broken = 0
    by_package: dict[str, list[Pair]] = {}
    for package, (pairs, failed) in zip(owners, parse_tasks(tasks, workers), strict=True):
        by_package.setdefault(package, []).extend(pairs)
        broken += failed
    for package, pairs in by_package.items():
        ordered = sorted(pairs, key=lambda pair: (pair.module, pair.line, pair.name))
        fresh = [pair for pair in ordered if seen.is_new(pair)]
        rows.extend((package, pair) for pair in _limited(fresh, limit_per_package))
    return _as_table(rows), broken


def _limited(pairs: list[Pair], limit: int | None) -> list[Pair]:
    if limit is None or len(pairs) <= limit:
        return pairs
    chosen = set(sorted(range(len(pairs)), key=lambda i: _hash(f"{pairs[i].name} {pairs[i].line}"))[:limit])
    return [pair for position, pair in enumerate(pairs) if position in chosen]


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _tasks(package: str, path: Path, limit: int | None) -> Iterator[Task]:
    files = list(python_files(package, path))
    if limit is not None:
        files.sort(key=lambda item: _hash(item[0]))
        yield Task([(module, str(file)) for module, file in files], _ENOUGH * limit)
        return
    batch: list[tuple[str, str]] = []
    size = 0
    for module, file in files:
        batch.append((module, str(file)))
        size += file.stat().st_size
        if size >= _TASK_BYTES:
            yield Task(batch)
            batch, size = [], 0
    if batch:
        yield Task(batch)


def python_files(package: str, path: Path) -> Iterator[tuple[str, Path]]:
    """(dotted module name, file) of a package's sources in order of name, without tests and vendored code."""
    if path.is_file():
        yield package, path
        return
    for item in sorted(path.iterdir()):
        if item.is_dir():
            if item.name.isidentifier() and item.name not in _SKIPPED_FOLDERS:
                yield from python_files(f"{package}.{item.name}", item)
        elif item.suffix == ".py" and item.stem.isidentifier() and not _SKIPPED_FILES.fullmatch(item.name):
            yield (package if item.stem == "__init__" else f"{package}.{item.stem}"), item


def _as_table(rows: Iterable[tuple[str, Pair]]) -> pa.Table:
    columns: dict[str, list[str]] = {name: [] for name in ("anchor", "positive", "package", "module", "name")}
    for package, pair in rows:
        for column, value in zip(
            columns.values(), (pair.query, pair.document, package, pair.module, pair.name), strict=True
        ):
            column.append(value)
    return pa.table({name: pa.array(values, type=pa.string()) for name, values in columns.items()})
