"""Recipes that want to run code, to grow without end, or to be something else; none may work."""

from __future__ import annotations

import random

from hostile_rows import Case, sound_rows
from hostile_written import Make, csv_bytes

GOOD = "data:\n  train: t.csv\n"
TAGS = (
    "!!python/object/apply:os.system ['touch marker']",
    "!!python/object/new:subprocess.Popen [['touch', 'marker']]",
    "!!python/name:os.system",
    "!!python/module:os",
    "!!binary aGVsbG8=",
    "!!set {a, b}",
    "!include /etc/passwd",
    "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch marker']",
)
CODE = (
    "trust_remote_code: true",
    "train: {trust_remote_code: true}",
    "model: {name: x, trust_remote_code: true}",
    "loss: os.system",
    "loss: {name: subprocess.Popen, scale: 1}",
    "loss: {name: triplet, distance: __import__('os').system}",
    'evaluate: {metrics: [\'__import__("os").system("touch marker")\']}',
    "data: {train: 'file:///etc/passwd'}",
    "data: {train: 'https://example.com/t.csv'}",
    "data: {train: t.csv, columns: {anchor: '{question.__class__}', positive: answer}}",
    "data: {train: t.csv, columns: {anchor: '{question!r}', positive: answer}}",
    "name: ../../elsewhere",
    "name: /tmp/elsewhere",
    'name: "a\\0b"',
)


def tag(draw: random.Random) -> bytes:
    where = draw.choice(["{0}\n", "model: {0}\n", "data:\n  train: {0}\n", "train: [{0}]\n", "? {0}\n: 1\n"])
    return (GOOD.replace("data", "name", 1) + where.format(draw.choice(TAGS))).encode()


def code(draw: random.Random) -> bytes:
    line = draw.choice(CODE)
    return (line if line.startswith("data") else GOOD + line).encode() + b"\n"


def aliases(draw: random.Random) -> bytes:
    """Each line nine times the one before; or a list within itself."""
    if draw.random() < 0.3:
        return b"data: &a\n  train: [*a, t.csv]\n"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, draw.randint(6, 12))]
    return (GOOD + "\n".join(lines) + "\n").encode()


def deep(draw: random.Random) -> bytes:
    count = draw.choice([40, 500, 3_000, 50_000])
    opened = draw.choice(["[", "{a: ", "- ", "? "])
    closing = {"[": "]", "{a: ": "}"}.get(opened, "") * (count if draw.random() < 0.7 else 0)
    return f"{GOOD}model: {opened * count}x{closing}\n".encode()


def large(draw: random.Random) -> bytes:
    return draw.choice(
        [
            GOOD.encode() + b"# " + b"x" * 1_000_000,
            GOOD.encode() + b"".join(b"k%d: 1\n" % n for n in range(30_000)),
            GOOD.encode() + b"train: {seed: " + b"9" * 100_000 + b"}\n",
            GOOD.encode() + b"model: [" + b"a," * 100_000 + b"]\n",
            GOOD.encode() + b"m" * 200_000 + b": 1\n",
            GOOD.encode() + b"train: {learning_rate: 1e" + b"9" * 5000 + b"}\n",
        ]
    )


def damaged(draw: random.Random) -> bytes:
    """Bytes that are no text, no YAML, or nothing; more than one document; a key twice."""
    return draw.choice(
        [
            b"",
            b"\0\0\0",
            b"\xff\xfe\xff",
            b"\xef\xbb\xbf",
            b"---\n---\n",
            b"data: {train: t.csv\n",
            b"data: t.csv\ndata: t.csv\n",
            b"\tdata: t.csv\n",
            b'data: "\\ud83d"\n',
            b"[]\n",
            b"just words\n",
            b"%YAML 9.9\n---\ndata: t.csv\n",
            b"<<: {data: t.csv}\n",
            b"data: *nothing\n",
            b"{{jinja}}\n",
            GOOD.encode() + draw.randbytes(40),
            GOOD.encode() + b"--- \ndata: other.csv\n",
            GOOD.encode() + b"train: {seed: .nan}\n",
            GOOD.encode() + b"train: {batch_size: -1}\n",
            GOOD.encode() + b"train: {epochs: true}\n",
            GOOD.encode() + b"decisions: [1]\n",
            b"PK\x03\x04" + draw.randbytes(60),
        ]
    )


def recipe(draw: random.Random) -> Case:
    make = draw.choice([tag, code, aliases, deep, large, damaged])
    files = {"r.yaml": make(draw), "t.csv": csv_bytes(sound_rows(draw, "pairs"))}
    called = ("file:///etc/passwd", "https://example.com/t.csv")
    return Case(f"recipe, {make.__name__}", files, "r.yaml", "refused", called=called)


RECIPES: tuple[Make, ...] = (recipe, recipe, recipe)
