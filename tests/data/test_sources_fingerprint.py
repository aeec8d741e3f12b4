"""One value for the same rows, whatever they are stored in."""

from __future__ import annotations

import hashlib
import json
import struct
from datetime import datetime
from decimal import Decimal

import datasets
import pyarrow as pa
import pytest

from sbert_triplet.data.fingerprint import combined, fingerprint

COLUMNS: dict[str, list[object]] = {
    "text": ["héllo", None, "", "a\nb"],
    "number": [1, None, 3, -4],
    "score": [0.5, None, float("nan"), -0.0],
    "many": [["x", None], None, [], ["y", "zz"]],
    "deep": [{"a": 1, "b": ["u"]}, None, {"a": None, "b": []}, {"a": 2, "b": None}],
    "yes": [True, None, False, True],
    "when": [datetime(2024, 5, 1, 12, 30), None, datetime(1970, 1, 1), datetime(2025, 1, 1)],
    "raw": [b"\0\xff", None, b"", b"x"],
    "price": [Decimal("1.50"), None, Decimal("0.00"), Decimal("2.25")],
    "nothing": [None] * 4,
}


def of(given: pa.Table) -> str:
    return fingerprint(datasets.Dataset(given))


class TestFingerprint:
    def test_does_not_depend_on_chunks_or_slices(self) -> None:
        whole = pa.table(COLUMNS)
        parts = pa.concat_tables([whole.slice(k, 1) for k in range(4)])
        padded = pa.concat_tables([whole.slice(2, 1), whole, whole.slice(0, 2)]).slice(1, 4)
        assert of(whole) == of(parts) == of(padded)

    def test_does_not_depend_on_widths_of_types(self) -> None:
        narrow = {"n": pa.array([1, 2], pa.int8()), "s": pa.array(["a", "b"]).dictionary_encode()}
        wide = {"n": pa.array([1, 2], pa.int64()), "s": pa.array(["a", "b"], pa.large_string())}
        assert of(pa.table(narrow)) == of(pa.table(wide))

    @pytest.mark.parametrize(
        ("column", "row", "value"),
        [
            ("text", 0, "hello"),
            ("text", 1, ""),
            ("text", 2, None),
            ("number", 3, 4),
            ("number", 1, 0),
            ("score", 2, None),
            ("many", 0, ["x"]),
            ("many", 1, []),
            ("many", 3, ["yz", "z"]),
            ("deep", 0, {"a": 1, "b": ["v"]}),
            ("yes", 2, True),
            ("when", 0, datetime(2024, 5, 1, 12, 31)),
            ("raw", 0, b"\0\xfe"),
            ("price", 3, Decimal("2.26")),
        ],
    )
    def test_depends_on_every_value(self, column: str, row: int, value: object) -> None:
        changed = {name: list(values) for name, values in COLUMNS.items()}
        changed[column][row] = value
        assert of(pa.table(changed)) != of(pa.table(COLUMNS))

    def test_depends_on_where_texts_end_and_on_the_order_of_rows(self) -> None:
        prints = [of(pa.table({"t": texts})) for texts in (["ab", "c"], ["a", "bc"], ["c", "ab"])]
        assert len(set(prints)) == 3

    def test_is_that_of_the_rows_that_were_chosen(self) -> None:
        rows = datasets.Dataset.from_dict({"t": list("abcdef")})
        assert fingerprint(rows.select([4, 1])) == fingerprint(datasets.Dataset.from_dict({"t": ["e", "b"]}))

    def test_is_made_as_described(self) -> None:
        """Spelled out, so that it stays the same in every release."""

        def digest(content: bytes) -> str:
            return hashlib.sha256(content).hexdigest()

        text = [["", digest(b"a")], ["#", digest(struct.pack("<2q", 1, 0))], ["?", digest(b"\1\0")]]
        number = [["", digest(struct.pack("<2q", 1, -2))], ["?", digest(b"\1\1")]]
        columns = [["t", [*text, ["", "string"]]], ["n", [*number, ["", "int"]]]]
        expected = digest(json.dumps([2, columns]).encode())
        assert of(pa.table({"t": ["a", None], "n": [1, -2]})) == expected

    def test_of_several_parts_does_not_depend_on_their_order(self) -> None:
        assert combined({"a": "1", "b": "2"}) == combined({"b": "2", "a": "1"})
        assert combined({"a": "1", "b": "2"}) != combined({"a": "2", "b": "1"})
