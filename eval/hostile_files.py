"""Parquet, gzip and Arrow files that are damaged or hold too much; folders; retrieval folders."""

from __future__ import annotations

import datetime
import decimal
import gzip
import io
import json
import random
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
from hostile_rows import Case, at_place, sound_rows
from hostile_written import Make, csv_bytes, json_bytes, written

CODECS = ("none", "snappy", "gzip", "zstd", "lz4")
MEBIBYTE = 1 << 20


def parquet_bytes(table: pa.Table, **settings: object) -> bytes:
    """The table as a parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **settings)
    return sink.getvalue()


def _some_parquet(draw: random.Random, table: pa.Table) -> bytes:
    return parquet_bytes(
        table,
        compression=draw.choice(CODECS),
        use_dictionary=draw.random() < 0.5,
        data_page_version=draw.choice(["1.0", "2.0"]),
        row_group_size=draw.choice([7, 1000]),
    )


def damaged_parquet(draw: random.Random) -> Case:
    """Cut short, bits flipped, bytes replaced or moved; also where the footer or a page header lies."""
    content = bytearray(_some_parquet(draw, pa.Table.from_pylist(sound_rows(draw))))
    what, end = draw.choice(["cut", "flipped", "flipped", "footer", "replaced"]), len(content)
    if what == "cut":
        del content[draw.randrange(end) :]
    elif what == "footer":
        footer = int.from_bytes(content[-8:-4], "little")
        for _ in range(draw.randint(1, 3)):
            content[draw.randrange(end - 8 - footer, end - 4)] = draw.randrange(256)
    else:
        for _ in range(draw.randint(1, 6)):
            at = draw.randrange(end)
            content[at] = content[at] ^ 1 << draw.randrange(8) if what == "flipped" else draw.randrange(256)
    expected = "refused" if what == "cut" else "either"
    return Case(f"parquet {what}", {"t.parquet": bytes(content)}, "t.parquet", expected)


def typed_parquet(draw: random.Random) -> Case:
    """A further column of any type beside sound ones."""
    rows = sound_rows(draw)
    count, moment = len(rows), datetime.datetime(2020, 1, 1)
    values = {
        "dates": pa.array([moment] * count),
        "far dates": pa.array([2**61] * count, pa.timestamp("us")),
        "durations": pa.array([datetime.timedelta(1)] * count),
        "decimals": pa.array([decimal.Decimal("1.10")] * count),
        "bytes": pa.array([b"\xff\x00"] * count),
        "fixed bytes": pa.array([b"abcd"] * count, pa.binary(4)),
        "nulls": pa.nulls(count),
        "structs": pa.array([{"a": {"b": [1, None]}}] * count),
        "maps": pa.array([[("k", 1)]] * count, pa.map_(pa.string(), pa.int64())),
        "lists": pa.array([["a", None], []] * (count // 2) + [None] * (count % 2)),
        "dictionary": pa.array(["a", None, "b"] * count)[:count].dictionary_encode(),
        "large text": pa.array(["x"] * count, pa.large_string()),
        "half floats": pa.array([0.5] * count, pa.float32()).cast(pa.float16()),
        "unsigned": pa.array([2**64 - 1] * count, pa.uint64()),
        "times": pa.array([datetime.time(1)] * count),
        "views": pa.array(["x"] * count, pa.string_view()),
    }
    kind = draw.choice(list(values))
    table = pa.Table.from_pylist(rows).append_column("more", values[kind])
    return Case(
        f"parquet with {kind}", {"t.parquet": _some_parquet(draw, table)}, "t.parquet", "works", count
    )


def wrong_parquet(draw: random.Random) -> Case:
    """Whole files that hold no table that can be used."""
    rows = sound_rows(draw, "pairs")
    table, what = pa.Table.from_pylist(rows), draw.choice(["names", "no rows", "no columns", "text", "deep"])
    names: tuple[tuple[str, ...], ...] = ()
    if what == "names":
        table, names = table.rename_columns(["question", "question"]), (("question",),)
    elif what == "no rows":
        table = table.slice(0, 0)
    elif what == "no columns":
        table = table.select([])
    elif what == "text":
        at = draw.randrange(len(rows))
        cells = [row["answer"].encode() for row in rows]
        cells[at] += draw.choice([b"\xff", b"\xed\xa0\xbd", b"\xc3"])
        broken = pa.array(cells, pa.binary()).view(pa.string())
        table, names = table.set_column(1, "answer", broken), at_place(at, "answer")
    else:
        deep = pa.array([1] * len(rows))
        for _ in range(draw.choice([40, 200])):
            deep = pa.StructArray.from_arrays([deep], ["a"])
        table, names = table.append_column("more", deep), (("more", "deeply nested"),)
    content = parquet_bytes(table)
    return Case(f"parquet, {what}", {"t.parquet": content}, "t.parquet", "refused", None, (), names)


def parquet_bomb(draw: random.Random) -> Case:
    """A few kilobytes that would unpack to gigabytes."""
    if draw.random() < 0.5:
        cell, count = "x" * MEBIBYTE, 20_000
        indices = pa.array([0] * count, pa.int32())
        texts = pa.DictionaryArray.from_arrays(indices, pa.array([cell]))
        table = pa.table({"question": [f"q {n}" for n in range(count)], "answer": texts})
        content = parquet_bytes(table, compression="zstd")
        return Case("parquet bomb", {"t.parquet": content}, "t.parquet", "refused", count)
    wide = pa.table({f"c{number}": [1] for number in range(draw.choice([3_000, 10_000]))})
    return Case(
        "huge header", {"t.parquet": parquet_bytes(wide)}, "t.parquet", "refused", 1, (), (("column",),)
    )


def zipped(draw: random.Random) -> Case:
    """A gzip file that is whole, or not."""
    rows = sound_rows(draw)
    name, content = written(draw, rows)
    packed, name = bytearray(gzip.compress(content)), f"{name}.gz"
    what = draw.choice(
        ["whole", "parts", "cut", "cut", "flipped", "trailer", "behind", "twice", "not", "empty"]
    )
    expected = {"whole": "works", "parts": "works", "flipped": "either"}.get(what, "refused")
    if what == "parts":
        half = len(content) // 2
        packed = bytearray(gzip.compress(content[:half]) + gzip.compress(content[half:]))
    elif what == "cut":
        del packed[draw.randrange(len(packed)) :]
    elif what == "flipped":
        packed[draw.randrange(len(packed))] ^= 1 << draw.randrange(8)
    elif what == "trailer":
        packed[-draw.randint(1, 8)] ^= 0x55
    elif what == "behind":
        packed += b"more"
    elif what == "twice":
        packed = bytearray(gzip.compress(bytes(packed)))
    elif what == "not":
        packed = bytearray(content)
    elif what == "empty":
        packed = bytearray(gzip.compress(b""))
    return Case(f"gzip, {what}", {name: bytes(packed)}, name, expected, len(rows))  # type: ignore[arg-type]


def gzip_bomb(draw: random.Random) -> Case:
    """A megabyte or less that unpacks to hundreds: one cell, one line, many rows, brackets."""
    name, head, piece = draw.choice(
        [
            ("t.csv.gz", b"question,answer\n", b"a" * MEBIBYTE),
            ("t.csv.gz", b'question,answer\n"', b"a,b\n" * (MEBIBYTE // 4)),
            ("t.csv.gz", b"question,answer\n", b"a,b\n" * (MEBIBYTE // 4)),
            ("t.csv.gz", b"question,answer\n", b"," * MEBIBYTE),
            ("t.jsonl.gz", b'{"question": "', b"a" * MEBIBYTE),
            ("t.json.gz", b"", b"[" * MEBIBYTE),
            ("t.json.gz", b"", b" " * MEBIBYTE),
        ]
    )
    sink = io.BytesIO()
    with gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=6) as packed:
        packed.write(head)
        for _ in range(300):
            packed.write(piece)
    return Case("gzip bomb", {name: sink.getvalue()}, name, "refused")


def other_archives(draw: random.Random) -> Case:
    """Archives and binary tables, under their own names and under those of tables."""
    rows = sound_rows(draw)
    sink = io.BytesIO()
    if draw.random() < 0.5:
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(draw.choice(["t.csv", "../../t.csv", "/t.csv"]), csv_bytes(rows))
    else:
        table = pa.Table.from_pylist(rows)
        with pa.ipc.new_file(sink, table.schema) as file:
            file.write_table(table)
    content = bytearray(sink.getvalue())
    if draw.random() < 0.5:
        content[draw.randrange(8, len(content))] ^= 1 << draw.randrange(8)
    name = (
        f"t.{draw.choice(['zip', 'arrow', 'feather', 'xlsx', 'csv', 'jsonl', 'json', 'parquet', 'csv.gz'])}"
    )
    return Case("archive or Arrow file", {name: bytes(content)}, name, "refused")


def folders(draw: random.Random) -> Case:
    """A folder whose files do not belong together, or of which one is damaged."""
    rows, more = sound_rows(draw, "pairs"), sound_rows(draw, "pairs")
    what = draw.choice(["other columns", "other formats", "damaged", "none", "shards", "types"])
    files = {"d/train-00000-of-00002.csv": csv_bytes(rows), "d/train-00001-of-00002.csv": csv_bytes(more)}
    if what == "other columns":
        more = [{"question": row["question"], "reply": row["answer"]} for row in more]
        files["d/train-00001-of-00002.csv"] = csv_bytes(more)
    elif what == "other formats":
        files["d/train-00002-of-00002.jsonl"] = json_bytes(more)
    elif what == "damaged":
        files["d/train-00001-of-00002.csv"] = draw.choice([b"", b'question,answer\n"a', b"\xff\xff"])
    elif what == "none":
        files = {"d/readme.txt": b"words", "d/.hidden.csv": csv_bytes(rows)}
    elif what == "types":
        tables = [pa.table({"question": ["a"], "answer": [value]}) for value in ("b", {"c": 1})]
        files = {f"d/train-{at}.parquet": parquet_bytes(table) for at, table in enumerate(tables)}
    expected = "works" if what == "shards" else "refused"
    # Texts of the two halves may repeat, which is no damage; the rows are counted all the same.
    return Case(f"folder, {what}", files, "d", expected, len(rows) + len(more))  # type: ignore[arg-type]


def retrieval(draw: random.Random) -> Case:
    """A folder of queries, documents and judgements, in which one thing is wrong."""
    count = draw.randint(12, 20)
    queries = [{"_id": f"q{n}", "text": f"how do I reset item {n}?"} for n in range(count)]
    corpus = [{"_id": f"d{n}", "title": "", "text": f"press button {n}"} for n in range(count + 4)]
    judged = [{"query-id": f"q{n}", "corpus-id": f"d{n}", "score": 1} for n in range(count)]
    at, expected = draw.randrange(count), "refused"
    kind = draw.choice(list(_WRONG_RETRIEVAL))
    names = ((kind.split()[0],),) if kind != "sound" else ()
    table = {"queries": queries, "corpus": corpus, "qrels": judged}.get(kind.split()[0], judged)
    change = _WRONG_RETRIEVAL[kind]
    if isinstance(change, dict):
        table[at] = {**table[at], **change}  # type: ignore[dict-item]
    elif change == "again":
        table.append(dict(table[at]) | ({"score": 2} if table is judged else {}))  # type: ignore[arg-type]
    elif change == "gone":
        table[:] = [
            {key: value for key, value in row.items() if key not in ("_id", "query-id")} for row in table
        ]  # type: ignore[misc]
    elif change == "emptied":
        table.clear()
    else:
        expected = "works"
    parts = {"corpus": corpus, "queries": queries}
    files = {f"b/{name}.jsonl": "\n".join(map(json.dumps, part)).encode() for name, part in parts.items()}
    files["b/qrels/train.tsv"] = csv_bytes(judged, "\t") if judged else b"query-id\tcorpus-id\tscore\n"
    where = (("train.tsv",),) if kind.startswith("qrels") else names
    return Case(f"retrieval, {kind}", files, "b", expected, len(judged), (), where)  # type: ignore[arg-type]


_WRONG_RETRIEVAL: dict[str, dict[str, object] | str] = {
    "sound": "",
    "queries id again": "again",
    "queries id null": {"_id": None},
    "queries id blank": {"_id": ""},
    "queries id list": {"_id": ["a"]},
    "queries text null": {"text": None},
    "queries text number": {"text": 7},
    "queries without ids": "gone",
    "queries emptied": "emptied",
    "corpus id again": "again",
    "corpus id null": {"_id": None},
    "corpus text object": {"text": {"a": 1}},
    "corpus surrogate": {"text": "\ud83d"},
    "corpus emptied": "emptied",
    "qrels unknown query": {"query-id": "nobody"},
    "qrels unknown document": {"corpus-id": "../../etc/passwd"},
    "qrels blank": {"query-id": ""},
    "qrels word": {"score": "high"},
    "qrels nan": {"score": "nan"},
    "qrels infinite": {"score": "1e999"},
    "qrels again": "again",
    "qrels without ids": "gone",
    "qrels emptied": "emptied",
}

FILES: tuple[Make, ...] = (
    damaged_parquet,
    damaged_parquet,
    damaged_parquet,
    typed_parquet,
    wrong_parquet,
    zipped,
    zipped,
    other_archives,
    folders,
    retrieval,
    retrieval,
)
LARGE_FILES: tuple[Make, ...] = (parquet_bomb, gzip_bomb)
