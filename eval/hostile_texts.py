"""Tables of text, csv, tsv, json and jsonl, with one thing wrong, or one that only looks wrong."""

from __future__ import annotations

import csv
import io
import random

from hostile_json import json_cell, nested, repeated_key, surrogate
from hostile_rows import (
    INVISIBLE,
    LONGEST,
    NUMBERS,
    SKIP,
    UNUSUAL,
    Case,
    at_place,
    sound_rows,
    text_column,
)
from hostile_written import Make, csv_bytes, json_bytes, written


def unusual_cells(draw: random.Random) -> Case:
    rows = sound_rows(draw)
    for _ in range(draw.randint(1, 4)):
        row = draw.choice(rows)
        row[text_column(draw, row)] += draw.choice(UNUSUAL)
    name, content = written(draw, rows)
    return Case("unusual cells", {name: content}, name, "works", len(rows))


def long_cell(draw: random.Random) -> Case:
    rows, extra = sound_rows(draw), draw.randint(0, 1)
    at = draw.randrange(len(rows))
    column = text_column(draw, rows[at])
    rows[at][column] = "é x"[draw.randrange(2)] * (LONGEST + extra - 1) + "y"
    name, content = written(draw, rows)
    places = at_place(at, column) if extra else ()
    return Case(
        "megabyte cell", {name: content}, name, "refused" if extra else "works", len(rows), (), places
    )


def missing_cell(draw: random.Random) -> Case:
    """A null or blank cell: refused with row and column, or set aside and counted where asked for."""
    rows = sound_rows(draw)
    at = draw.randrange(len(rows))
    column = draw.choice(list(rows[at]))
    rows[at][column] = draw.choice(INVISIBLE[:2] if column in NUMBERS else INVISIBLE)
    kind, words = "blank cell", SKIP if draw.random() < 0.4 else ()
    if draw.random() < 0.5 or column in NUMBERS:
        kind, rows[at][column] = "null cell", None
    name, content = written(draw, rows)
    if words:
        return Case(f"{kind}, to be set aside", {name: content}, name, "works", len(rows), words)
    return Case(kind, {name: content}, name, "refused", len(rows), (), at_place(at, column))


def wrong_number(draw: random.Random) -> Case:
    rows = sound_rows(draw, "scored")
    at = draw.randrange(len(rows))
    rows[at]["score"] = draw.choice(
        ["high", "1,5", "nan", "inf", "-inf", "1e999", "0x10", "1_0", "--1", "٣x"]
    )
    name = draw.choice(["t.csv", "t.tsv"])
    content = csv_bytes(rows, "\t" if name == "t.tsv" else ",")
    return Case("no number", {name: content}, name, "refused", len(rows), (), (("score",),))


def wide_header(draw: random.Random) -> Case:
    """Very many columns, or a name of a megabyte."""
    rows = sound_rows(draw)
    if draw.random() < 0.5:
        extra = [f"c{number}" for number in range(draw.choice([3_000, 20_000, 100_000]))]
    else:
        extra = ["n" * draw.choice([2_000, 100_000, LONGEST])]
    if draw.random() < 0.5:
        rows = [{**row, **dict.fromkeys(extra, "1")} for row in rows[: 24 if len(extra) < 5000 else 1]]
        name, content = "t.csv", csv_bytes(rows)
    else:
        rows[0] |= dict.fromkeys(extra, "1")
        name, content = "t.jsonl", json_bytes(rows)
    return Case("huge header", {name: content}, name, "refused", len(rows), (), (("column",),))


def column_names(draw: random.Random) -> Case:
    """Names that repeat, that are missing, that hold anything; or no line of names."""
    rows = sound_rows(draw, draw.choice(["pairs", "triplets"]))
    names, what = list(rows[0]), draw.choice(["repeated", "missing", "strange", "none", "header only"])
    if what == "repeated":
        names[-1] = f" {names[0]}"[draw.randrange(2) :]
    elif what == "missing":
        names[draw.randrange(len(names))] = draw.choice(["", "  "])
    elif what == "strange":
        names[-1] = draw.choice(
            ["a\nb", "{x}", "a.b", "\x1b[2J", "__class__", "x" * 900, "'", "\u202ex", "\x00"]
        )
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    if what != "none":
        writer.writerow(names)
    if what != "header only":
        writer.writerows(row.values() for row in rows)
    expected = "refused" if what in ("repeated", "header only") else "either"
    return Case(f"column names, {what}", {"t.csv": file.getvalue().encode()}, "t.csv", expected, len(rows))


def ragged(draw: random.Random) -> Case:
    rows = sound_rows(draw)
    at = draw.randrange(len(rows))
    lines = csv_bytes(rows).split(b"\n")
    lines[at + 1] = lines[at + 1] + b",more" if draw.random() < 0.5 else lines[at + 1].rpartition(b",")[0]
    names = ((f"row {at + 1}",), (f"line {at + 2}",))
    return Case("ragged row", {"t.csv": b"\n".join(lines)}, "t.csv", "refused", len(rows), (), names)


def unbalanced(draw: random.Random) -> Case:
    """A double quote too many or too few somewhere."""
    rows = sound_rows(draw)
    content = bytearray(csv_bytes(rows, quoting=csv.QUOTE_ALL))
    quotes = [at for at, byte in enumerate(content) if byte == ord('"')]
    for _ in range(draw.choice([1, 1, 2, 3])):
        at = draw.choice(quotes)
        content[at : at + 1] = draw.choice([b"", b'""', b'"x'])
    # Two of them may cancel each other out.
    return Case("unbalanced quotes", {"t.csv": bytes(content)}, "t.csv", "either", None)


def line_ends(draw: random.Random) -> Case:
    rows, mark = sound_rows(draw), draw.choice(["\r\n", "\r", "mixed", "blank"])
    lines = csv_bytes(rows, quoting=csv.QUOTE_ALL).split(b"\n")[:-1]
    if mark == "mixed":
        content = b"".join(line + draw.choice([b"\n", b"\r\n", b"\r"]) for line in lines)
    else:
        content = {"\r\n": b"\r\n", "\r": b"\r", "blank": b"\n\n\r\n"}[mark].join(lines)
    return Case("line ends", {"t.csv": content}, "t.csv", "works", len(rows))


def encodings(draw: random.Random) -> Case:
    rows = sound_rows(draw)
    rows[0][next(iter(rows[0]))] += " ä"
    name, content = written(draw, rows)
    text = content.decode()
    coding, sound = draw.choice(
        [("utf-8-sig", True), ("utf-16", True), ("utf-16-le", False), ("utf-32", False), ("latin-1", False)]
    )
    encoded = text.encode(coding) if "\\u00e4" not in text or coding != "latin-1" else text.encode() + b"\xe4"
    if draw.random() < 0.1:
        encoded, sound = b"\xef\xbb\xbf\xef\xbb\xbf" + content, False
        return Case("two byte order marks", {name: encoded}, name, "either", len(rows))
    return Case(f"encoded as {coding}", {name: encoded}, name, "works" if sound else "refused", len(rows))


def wrong_bytes(draw: random.Random) -> Case:
    """A byte that no UTF-8 has, or a zero, somewhere."""
    rows = sound_rows(draw, count=draw.choice([None, 1500]))
    name, content = written(draw, rows)
    at = draw.randrange(1, len(content))
    wrong = draw.choice([b"\x00", b"\xff", b"\xc0\x80", b"\xed\xa0\xbd", b"\x80", b"\xf5\x80\x80\x80"])
    changed = content[:at] + wrong + content[at:]
    return Case(f"byte {wrong.hex()}", {name: changed}, name, "refused", len(rows), (), (("line ", "byte "),))


def cut_or_flipped(draw: random.Random) -> Case:
    """A file cut short, with bits flipped, or with a piece of it again; it may still be a table."""
    name, content = written(draw, sound_rows(draw))
    changed = bytearray(content)
    what = draw.choice(["cut", "flipped", "doubled", "shuffled"])
    if what == "cut":
        del changed[draw.randrange(len(changed)) :]
    elif what == "flipped":
        for _ in range(draw.randint(1, 8)):
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    else:
        start = draw.randrange(len(changed))
        piece = changed[start : start + draw.randint(1, 200)]
        at = draw.randrange(len(changed))
        changed[at : at if what == "doubled" else at + len(piece)] = piece
    return Case(f"text {what}", {name: bytes(changed)}, name)


def junk(draw: random.Random) -> Case:
    """No table at all."""
    name = f"t.{draw.choice(['csv', 'tsv', 'json', 'jsonl', 'ndjson'])}"
    letters = '{}[]",:\n\r\t ab1\\\ufeffü-.e'
    content = draw.choice(
        [
            b"",
            b" \n\t\r\n",
            b"\xef\xbb\xbf",
            b"\xff\xfe",
            draw.randbytes(draw.randint(1, 300)),
            "".join(draw.choices(letters, k=draw.randint(1, 80))).encode(),
            b"PK\x03\x04" + draw.randbytes(60),
            b"\xd0\xcf\x11\xe0" + draw.randbytes(60),
            b"\x80\x04\x95" + b"cos\nsystem\n(S'touch marker'\ntR.",
            b"ARROW1\0\0" + draw.randbytes(60),
            b"PAR1" + draw.randbytes(60) + b"PAR1",
            b"null",
            b"[]",
            b"{}",
            b"[{}]",
            b"[[[]]]",
            b"1e999",
            b'{"data": []}',
            b'{"data": [1]}',
            b'{"a": [1, 2], "b": [3, 4]}',
            b'{"a": ' + b"9" * 6000 + b"}",
            b"[1, 2, 3]\n[1, 2, 3]",
        ]
    )
    # A few marks can be a table of one row; nothing here has enough rows to be trained on.
    return Case("junk", {name: content}, name, "refused")


TEXTS: tuple[Make, ...] = (
    unusual_cells,
    missing_cell,
    missing_cell,
    wrong_number,
    json_cell,
    json_cell,
    surrogate,
    nested,
    column_names,
    repeated_key,
    ragged,
    unbalanced,
    unbalanced,
    line_ends,
    encodings,
    wrong_bytes,
    wrong_bytes,
    cut_or_flipped,
    cut_or_flipped,
    cut_or_flipped,
    junk,
)
LARGE_TEXTS: tuple[Make, ...] = (long_cell, wide_header)
