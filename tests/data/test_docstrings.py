"""Docstrings as pairs: of a small package made here, and of two packages of the standard library."""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_triplet.data import docstring_parser, docstring_workers, docstrings
from sbert_triplet.data.docstring_parser import Task, module_pairs, normalised, parse_task, query_and_rest
from sbert_triplet.data.docstring_workers import parse_tasks
from sbert_triplet.data.docstrings import (
    DocstringsSource,
    docstring_table,
    installed_packages,
    load_docstrings,
    parse_docstrings_source,
    python_files,
)
from sbert_triplet.data.sources import Table, load_source
from sbert_triplet.errors import DataError, MachineError

REST = "It counts every item of the input once and gives the sum back to the caller."


def doc(query: str, rest: str = REST) -> str:
    return f"{query}\n\n{rest}\n"


SHOP = {
    "__init__.py": """
        '''Everything that a small shop needs. | Orders, stock and the till, each in a module of its own.'''
    """,
    "orders.py": """
        class Order:
            '''An order that a customer placed. | It keeps the lines, the customer and the day of delivery.'''

            def __init__(self, lines, *, day=None): ...

            def total(self, tax: float = 0.2) -> float:
                '''Sum of all the lines of an order. | Prices include the tax, rounded to two digits each.'''

                def inner():
                    '''A function inside of another one. | Nobody outside can call it, so it is left out.'''

        if True:
            async def send(order, /, to, *rest, **options):
                '''Send an order to the customer by post. | Waits until the post office returns its number.'''
        try:
            import fast
        except ImportError:
            def slow():
                '''Do slowly what cannot be done fast. | Takes the place of the compiled function here.'''

        def test_total():
            '''Check that the sum is the right one. | This belongs to the tests and not to the pairs.'''

        def short():
            '''Too short.'''

        def nothing(): ...
    """,
    "again.py": """
        def total(order):
            '''SUM of all the  lines of an order. | Another text about it, under a query seen before.'''

        def copied(order):
            '''A new query above an old text. | PRICES include the tax,   rounded to two digits each.'''
    """,
    "broken.py": "def f(:\n    '''One two three four. | Five.'''",
    "tests/test_orders.py": "'''A query that is in a test. | It is not among the pairs, as tests are not.'''",
    "test_more.py": "'''A query that is in a test. | It is not among the pairs, as tests are not.'''",
    "_vendor/other.py": "'''A query of somebody. | It is a copy of another package, to be left out.'''",
    "not-a-module.py": "'''A query that cannot be imported. | It is no module, as its name is no name.'''",
    "deep/er/leaf.py": """
        def f(x):
            '''A leaf in a folder by itself. | The folder holds no file that makes it a package of its own.'''
    """,
}


def source(text: str) -> str:
    """Python with the docstrings written out: "query | rest" stands for both, with a blank line between."""
    return re.sub(r"(?<=''')([^'|]+) \| ([^']+)(?=''')", "\\1\n\n\\2\n", textwrap.dedent(text))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with something of every sort."""
    made = tmp_path / "shop"
    for name, content in SHOP.items():
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source(content), encoding="utf-8")
    return made


def rows(table: pa.Table) -> list[dict[str, str]]:
    found: list[dict[str, str]] = table.to_pylist()
    return found


class TestTable:
    def test_a_small_package(self, package: Path) -> None:
        table, broken = docstring_table({"shop": package})
        assert broken == 1
        assert table.column_names == ["anchor", "positive", "package", "module", "name"]
        assert [(row["module"], row["name"]) for row in rows(table)] == [
            ("shop", "shop"),
            ("shop.again", "shop.again.total"),
            ("shop.again", "shop.again.copied"),
            ("shop.deep.er.leaf", "shop.deep.er.leaf.f"),
            ("shop.orders", "shop.orders.Order"),
            ("shop.orders", "shop.orders.send"),
            ("shop.orders", "shop.orders.slow"),
        ]
        assert {row["package"] for row in rows(table)} == {"shop"}

    def test_query_and_document(self, package: Path) -> None:
        table, _ = docstring_table({"shop": package})
        found = {row["name"]: (row["anchor"], row["positive"]) for row in rows(table)}
        assert found["shop"] == (
            "Everything that a small shop needs.",
            "shop\nOrders, stock and the till, each in a module of its own.",
        )
        assert found["shop.orders.Order"] == (
            "An order that a customer placed.",
            "shop.orders.Order(lines, *, day=None)\n"
            "It keeps the lines, the customer and the day of delivery.",
        )
        assert found["shop.orders.send"][1].startswith(
            "shop.orders.send(order, /, to, *rest, **options)\nWaits"
        )

    def test_packages_come_in_order_and_the_first_of_a_text_stays(
        self, package: Path, tmp_path: Path
    ) -> None:
        single = tmp_path / "zebra.py"
        single.write_text(f'def f():\n    """{doc("A leaf in a folder by itself.")}"""\n', encoding="utf-8")
        first = tmp_path / "ant.py"
        first.write_text(single.read_text())
        table, _ = docstring_table({"zebra": single, "shop": package, "ant": first})
        leaves = [row["name"] for row in rows(table) if row["anchor"].startswith("A leaf")]
        assert leaves == ["ant.f"]
        assert [row["package"] for row in rows(table)] == ["ant"] + ["shop"] * 6

    def test_no_pair_is_found_by_a_text_that_stands_twice(self) -> None:
        table, _ = docstring_table(
            {name: installed_packages()[name] for name in ("email", "json", "logging")}
        )
        queries = [normalised(row["anchor"]) for row in rows(table)]
        texts = [normalised(row["positive"].partition("\n")[2]) for row in rows(table)]
        assert len(set(queries)) == len(queries) > 100
        assert len(set(texts)) == len(texts)

    def test_a_limit_takes_the_same_few_every_time(self) -> None:
        packages = {name: installed_packages()[name] for name in ("email", "json")}
        whole, few = docstring_table(packages)[0], docstring_table(packages, 5)[0]
        counts = {name: [row["package"] for row in rows(few)].count(name) for name in packages}
        assert counts == {"email": 5, "json": 5}
        assert {row["name"] for row in rows(few)} < {row["name"] for row in rows(whole)}
        assert few.equals(docstring_table(packages, 5)[0])
        assert docstring_table(packages, 10_000)[0].equals(whole)


class TestStandardLibrary:
    @pytest.fixture(scope="class")
    def table(self) -> pa.Table:
        return docstring_table({name: installed_packages()[name] for name in ("email", "json")})[0]

    def test_a_pair_that_everybody_knows(self, table: pa.Table) -> None:
        found = {row["name"]: row for row in rows(table)}["json.dumps"]
        query, _, rest = (inspect.getdoc(json.dumps) or "").partition("\n\n")
        assert found["anchor"] == query.replace("``", "")
        assert found["positive"].startswith("json.dumps(obj, *, skipkeys=False, ensure_ascii=True,")
        first = rest.split("\n\n")[0].replace("``", "")
        assert " ".join(first.split()) == found["positive"].split("\n")[1]
        assert (found["package"], found["module"]) == ("json", "json")

    def test_no_document_repeats_its_query(self, table: pa.Table) -> None:
        for row in rows(table):
            assert normalised(row["anchor"]).rstrip(".") not in normalised(row["positive"].partition("\n")[2])
            assert row["positive"].startswith(row["name"])
            assert len(row["anchor"].split()) >= 4

    def test_looking_for_quotes_first_loses_nothing(self, table: pa.Table) -> None:
        """Every pair that parsing all the files would give is there."""
        expected: dict[str, str] = {}
        for name in ("email", "json"):
            for module, file in python_files(name, installed_packages()[name]):
                expected |= {pair.name: pair.query for pair in module_pairs(module, file.read_bytes())}
        found = {row["name"]: row["anchor"] for row in rows(table)}
        assert found.items() <= expected.items()
        queries = {normalised(query) for query in found.values()}
        texts_lost = [query for query in expected.values() if normalised(query) not in queries]
        assert len(texts_lost) < 0.1 * len(expected)
        skipped = [
            file
            for name in ("email", "json")
            for _, file in python_files(name, installed_packages()[name])
            if not docstring_parser._may_hold_any(file.read_bytes())
        ]
        assert not [pair for file in skipped for pair in module_pairs("m", file.read_bytes())]


class TestQueryAndRest:
    @pytest.mark.parametrize(
        ("docstring", "expected"),
        [
            (
                f"Count the items\n    of a list.\n\n    {REST}\n    Twice.\n",
                ("Count the items of a list.", f"{REST} Twice."),
            ),
            (
                f"Count with :func:`~shop.total` and ``sum``.\n\n{REST} See :class:`Till <shop.Till>`.",
                ("Count with shop.total and sum.", f"{REST} See Till."),
            ),
            (
                f"Count the items of a list.\n\n{REST}\n\nExamples\n--------\n>>> f([1])\n1\n\n>>> more\n2",
                ("Count the items of a list.", REST),
            ),
            (
                f"Count the items of a list.\n\n.. versionadded:: 1.2\n\n.. note:: Slow.\n   {REST}",
                ("Count the items of a list.", f"Slow. {REST}"),
            ),
            (
                f"Count the items of a list.\n\nCall it so::\n\n    count(x for x in y)\n\n    z\n\n{REST}",
                ("Count the items of a list.", f"Call it so::\n{REST}"),
            ),
            (
                f"Count the items of a list.\n\n```python\ncount(x)\n\ncount(y)\n```\n{REST}",
                ("Count the items of a list.", REST),
            ),
            (
                f"Count the items of a list.\n\n.. code-block:: python\n\n    count(x for x in y)\n\n{REST}",
                ("Count the items of a list.", REST),
            ),
        ],
    )
    def test_taken(self, docstring: str, expected: tuple[str, str]) -> None:
        assert query_and_rest(docstring) == expected

    @pytest.mark.parametrize(
        "docstring",
        [
            "",
            "One paragraph only, though it is a rather long one about counting items.",
            doc("Too few."),
            doc("Count the items of a list.", "Not much."),
            doc(
                "Count the items of a list.",
                ">>> count([1, 2, 3])\n3\n>>> from shop import every, item, there",
            ),
            doc("Count the items of a list.", f"To count the items of a LIST, call it. {REST}"),
            doc("count(items, start=0) -> the number of them all together"),
            doc("Parameters of this function are the following ones"),
            doc("Copyright 2020 by some people who wrote this"),
            doc("The items that can be counted are these:"),
            doc("[CFWS] 1*extended_attrtext [CFWS]"),
            doc("The function `count` is deprecated, use sum."),
            doc("a = b + c; d = {e: f[0]} # == (1, 2, 3) ** 4"),
            doc(" ".join(["word"] * 51)),
        ],
    )
    def test_refused(self, docstring: str) -> None:
        assert query_and_rest(docstring) is None

    @settings(max_examples=200, deadline=None)
    @given(st.text('ab `:.>\n\t"-{}()=', max_size=300))
    def test_any_text(self, docstring: str) -> None:
        found = query_and_rest(docstring)
        if found is not None:
            assert "\n" not in found[0]
            assert found[0].strip() == found[0] != ""


class TestParser:
    def test_a_text_that_is_no_utf_8_is_left_out(self) -> None:
        source = f'def f():\n    """Half of \\ud800 a pair of them.\n\n    {REST}"""\n'
        assert list(module_pairs("m", source.encode())) == []

    def test_the_encoding_of_the_file_counts(self) -> None:
        source = f'# coding: latin-1\ndef f():\n    """Zähle die Dinge einer Liste.\n\n    {REST}"""\n'
        (pair,) = module_pairs("m", source.encode("latin-1"))
        assert pair.query == "Zähle die Dinge einer Liste."

    def test_nothing_is_imported_or_run(self, tmp_path: Path) -> None:
        file = tmp_path / "evil.py"
        docstring = doc("A module that must never be run.")
        file.write_text(f'"""{docstring}"""\nraise SystemExit\n', encoding="utf-8")
        table, _ = docstring_table({"evil": file})
        assert [row["name"] for row in rows(table)] == ["evil"]
        assert "evil" not in sys.modules

    def test_a_long_signature_is_names_only(self) -> None:
        arguments = ", ".join(f"argument_{k}: 'dict[str, list[tuple[int, ...]]]' = None" for k in range(9))
        source = f'def f({arguments}):\n    """{doc("Takes many arguments of a long type.")}"""'
        (pair,) = module_pairs("m", source.encode())
        names = ", ".join(f"argument_{k}" for k in range(9))
        assert pair.document.split("\n")[0] == f"m.f({names})"

    def test_arguments_are_as_ast_writes_them(self) -> None:
        docstring = doc("Takes all sorts of arguments.")
        text = f'class A:\n    def f(self, a, /, b=1, *c, d: int = 2, **e):\n        """{docstring}"""'
        (pair,) = module_pairs("m", text.encode())
        assert pair.document.split("\n")[0] == "m.A.f(a, /, b=1, *c, d: int=2, **e)"

    def test_enough_ends_early(self, package: Path) -> None:
        files = [(module, str(file)) for module, file in python_files("shop", package)]
        assert len(parse_task(Task(files, 1))[0]) == 1
        assert len(parse_task(Task(files))[0]) > 1


class TestWorkers:
    def test_give_what_one_process_gives(self, monkeypatch: pytest.MonkeyPatch, package: Path) -> None:
        monkeypatch.setattr(docstring_workers, "_FILES_WORTH_A_PROCESS", 1)
        monkeypatch.setattr(docstrings, "_TASK_BYTES", 20_000)
        packages = {"email": installed_packages()["email"], "shop": package}
        alone, broken = docstring_table(packages, workers=1)
        monkeypatch.setattr(docstring_workers, "parse_task", None)
        together, broken_together = docstring_table(packages, workers=3)
        assert together.equals(alone)
        assert broken_together == broken == 1

    def test_one_that_dies_is_told(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(docstring_workers, "_FILES_WORTH_A_PROCESS", 1)
        script = tmp_path / "dies.py"
        script.write_text("raise SystemExit(1)")
        monkeypatch.setattr(docstring_workers.docstring_parser, "__file__", str(script))
        with pytest.raises(MachineError, match="ended by the system"):
            parse_tasks([Task([("a", "a.py")]), Task([("b", "b.py")])], workers=2)

    def test_the_script_needs_the_standard_library_only(self) -> None:
        source = Path(docstring_parser.__file__).read_text(encoding="utf-8")
        modules = {
            name.partition(".")[0]
            for node in ast.walk(ast.parse(source))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert modules <= sys.stdlib_module_names


class TestPackages:
    def test_the_standard_library_and_installed_ones(self) -> None:
        found = installed_packages()
        assert {"json", "email", "argparse", "numpy", "torch"} <= set(found)
        assert not {"sbert_triplet", "test", "tests", "site-packages", "antigravity"} & set(found)

    def test_no_tests_of_a_package(self) -> None:
        modules = [module for module, _ in python_files("numpy", installed_packages()["numpy"])]
        assert not [module for module in modules if ".tests." in module]
        assert "numpy.testing._private.utils" in modules

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("docstrings:", DocstringsSource()),
            ("docstrings:numpy", DocstringsSource(("numpy",))),
            ("docstrings:numpy, scipy,numpy", DocstringsSource(("numpy", "scipy"))),
            ("docstrings:?limit_per_package=300", DocstringsSource((), 300)),
            ("docstrings:stdlib?limit_per_package=3", DocstringsSource(("stdlib",), 3)),
        ],
    )
    def test_grammar(self, text: str, expected: DocstringsSource) -> None:
        assert parse_docstrings_source(text) == expected

    @pytest.mark.parametrize(
        "text", ["docstrings:a/b", "docstrings:?limit=3", "docstrings:?limit_per_package=0", "docstring:"]
    )
    def test_what_is_not_understood(self, text: str) -> None:
        with pytest.raises(DataError, match="not understood"):
            parse_docstrings_source(text)


class TestSource:
    def test_as_a_source(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = load_source("docstrings:json,email", cache_dir=tmp_path)
        assert isinstance(first, Table)
        assert (first.name, first.origin) == ("docstrings:json,email", "docstrings")
        assert first.dataset.column_names == ["anchor", "positive", "package", "module", "name"]
        assert set(first.dataset["package"]) == {"json", "email"}
        monkeypatch.setattr(docstrings, "docstring_table", None)
        second = load_source("docstrings:email,json", cache_dir=tmp_path)
        assert isinstance(second, Table)
        assert second.fingerprint == first.fingerprint

    def test_another_installation_is_parsed_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        load_docstrings(DocstringsSource(("json",)), cache_dir=tmp_path)
        monkeypatch.setattr(docstrings.importlib.metadata, "distributions", list)
        load_docstrings(DocstringsSource(("json",)), cache_dir=tmp_path)
        assert len(list(tmp_path.rglob("*.parquet"))) == 2

    def test_a_damaged_cache_is_parsed_again(self, tmp_path: Path) -> None:
        expected, _ = load_docstrings(DocstringsSource(("json",)), cache_dir=tmp_path)
        (file,) = tmp_path.rglob("*.parquet")
        file.write_bytes(file.read_bytes()[:100])
        again, _ = load_docstrings(DocstringsSource(("json",)), cache_dir=tmp_path)
        assert again.to_dict() == expected.to_dict()

    def test_without_a_place_to_keep_them(self, tmp_path: Path) -> None:
        blocked = tmp_path / "file"
        blocked.write_text("")
        found, notes = load_docstrings(DocstringsSource(("json",)), cache_dir=blocked)
        assert len(found) > 3
        assert any(note.startswith("not kept for the next run") for note in notes)

    def test_the_standard_library_by_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        chosen: dict[str, Path] = {}

        def remember(packages: dict[str, Path], *_: object) -> tuple[pa.Table, int]:
            chosen.update(packages)
            return docstring_table({"json": packages["json"]})

        monkeypatch.setattr(docstrings, "docstring_table", remember)
        load_docstrings(DocstringsSource(("stdlib", "numpy")), cache_dir=tmp_path)
        assert {"json", "email", "numpy"} <= set(chosen)
        assert "torch" not in chosen

    def test_an_unknown_package(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"'numpi'.*mean numpy"):
            load_source("docstrings:numpi", cache_dir=tmp_path)

    def test_one_without_docstrings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "empty.py"
        file.write_text("x = 1\n")
        monkeypatch.setattr(docstrings, "installed_packages", lambda: {"empty": file})
        with pytest.raises(DataError, match="none to be found in empty"):
            load_source("docstrings:empty", cache_dir=tmp_path)

    def test_a_split_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="column package"):
            load_source("docstrings:json", split="test", cache_dir=tmp_path)
