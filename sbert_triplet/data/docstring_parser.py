"""Docstrings of Python sources as pairs of query and document. Parses, and never imports or runs.

Also a script, ``python docstring_parser.py``, which reads tasks and writes results as JSON, one a
line: parsing in processes of their own needs no package installed there, copies no threads and asks
nothing of the person's ``__main__``. Hence the standard library only.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import hashlib
import inspect
import json
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

PARSER_VERSION = 1

_MIN_QUERY_WORDS, _MAX_QUERY_WORDS = 4, 50
_MIN_REST_WORDS = 8
_MAX_SIGNATURE = 300

_BLANK_LINE = re.compile(rb"\n[ \t]*\r?\n[ \t]*[^\s]")
_WORD = re.compile(r"[^\W\d_]{2,}")
_ROLE = re.compile(r":(?:[a-z]+:)?[a-z]+:`~?\.?([^`<]+?)(?:\s*<[^`>]*>)?`")
_UNPROSAIC = re.compile(
    r"^\s*\.\. (?:(?P<code>code|code-block|sourcecode|plot|ipython|testcode|doctest)"
    r"|image|figure|versionadded|versionchanged|deprecated|currentmodule|module|index)\s*::.*$"
)
_DIRECTIVE = re.compile(r"^\s*\.\. [\w:-]+\s*::\s?")
_UNDERLINE = re.compile(r"^\s*([-=~^*#.`+_])\1{2,}\s*$")
_FENCE = re.compile(r"^\s*(?:```|~~~)")
_CALL = re.compile(r"^[\w.]+\s*\([^)]*\)")
_BOILERPLATE = re.compile(
    r"^(?:copyright|licen[sc]ed?\b|args?\b|arguments|parameters|params|returns?:|yields?:|raises?:|notes?:"
    r"|examples?\b|usage\b|todo|see also|see `|see :|deprecated|:param|@param|!!!|this is an internal"
    r"|.*\b(?:is|are) deprecated)",
    re.IGNORECASE,
)

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Task(NamedTuple):
    """Files of one package: (dotted module name, path). ``enough``: stop after so many pairs."""

    files: list[tuple[str, str]]
    enough: int | None = None


class Pair(NamedTuple):
    """``document`` begins with the name and the arguments. ``line``: where the docstring's owner is."""

    module: str
    name: str
    line: int
    query: str
    document: str


def parse_task(task: Task) -> tuple[list[Pair], int]:
    """The pairs of a task's files, without those whose query or document stood before; and how many
    files could not be parsed."""
    pairs: list[Pair] = []
    seen = Seen()
    broken = 0
    for module, path in task.files:
        try:
            source = Path(path).read_bytes()
            found = list(module_pairs(module, source)) if _may_hold_any(source) else []
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            broken += 1
            continue
        pairs.extend(pair for pair in found if seen.is_new(pair))
        if task.enough is not None and len(pairs) >= task.enough:
            break
    return pairs, broken


class Seen:
    """Which queries and documents stood before, compared without case, white space and name."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()

    def is_new(self, pair: Pair) -> bool:
        """Whether neither its query nor its text was seen; remembers both."""
        rest = pair.document.partition("\n")[2]
        digests = {_digest("q", pair.query), _digest("d", rest)}
        new = not digests & self._digests
        self._digests |= digests
        return new


def _digest(kind: str, text: str) -> bytes:
    return hashlib.blake2b((kind + normalised(text)).encode(), digest_size=12).digest()


def normalised(text: str) -> str:
    """Lower case, single spaces."""
    return " ".join(text.casefold().split())


def _may_hold_any(source: bytes) -> bool:
    """Whether a text in triple quotes holds a blank line: looking for it is far cheaper than parsing.

    What stands between the quotes is every second piece; where the pieces do not add up, parse.
    """
    for quotes in (b'"""', b"'''"):
        pieces = source.split(quotes)
        if len(pieces) % 2 == 0 or any(_BLANK_LINE.search(piece) for piece in pieces[1::2]):
            return True
    return False


def module_pairs(module: str, source: bytes) -> Iterator[Pair]:
    """The pairs of one module, in the order of its text. Raises what ``ast.parse`` raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    yield from _pair(module, module, "", tree)
    for name, node in _definitions(module, tree.body):
        yield from _pair(module, name, _arguments(node), node)


def _definitions(prefix: str, body: Iterable[ast.stmt]) -> Iterator[tuple[str, Definition]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield f"{prefix}.{node.name}", node
            yield from _definitions(f"{prefix}.{node.name}", node.body)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not re.match(r"test(?:_|[A-Z]|$)", node.name):
                yield f"{prefix}.{node.name}", node
        elif isinstance(node, ast.If | ast.Try | ast.With):
            for part in ("body", "handlers", "orelse", "finalbody"):
                for inner in getattr(node, part, []):
                    yield from _definitions(
                        prefix, inner.body if isinstance(inner, ast.ExceptHandler) else [inner]
                    )


def _pair(module: str, name: str, arguments: str, node: ast.Module | Definition) -> Iterator[Pair]:
    docstring = ast.get_docstring(node, clean=False)
    if docstring is None or len(docstring) < 60:
        return
    found = query_and_rest(docstring)
    if found is None:
        return
    query, rest = found
    pair = Pair(module, name, getattr(node, "lineno", 0), query, f"{name}{arguments}\n{rest}")
    try:
        "".join((pair.query, pair.document)).encode()
    except UnicodeEncodeError:
        return
    yield pair


def _arguments(node: Definition) -> str:
    """The arguments as written, in brackets; those of ``__init__`` for a class; names only when long."""
    if isinstance(node, ast.ClassDef):
        inits = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
        return _arguments(inits[0]) if inits else ""
    arguments = node.args
    for leading in (arguments.posonlyargs, arguments.args):
        if leading and leading[0].arg in ("self", "cls"):
            del leading[0]
            break
    text = ast.unparse(arguments)
    if len(text) > _MAX_SIGNATURE:
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        text = ", ".join(argument.arg for argument in every)
    return f"({text})"


def query_and_rest(docstring: str) -> tuple[str, str] | None:
    """First paragraph, and the rest without what is no prose; None where one of them says too little.

    Left out of the rest: code, headings without text, notes on versions. A rest that repeats the
    query is refused: it would be found by its words alone.
    """
    paragraphs = list(_paragraphs(inspect.cleandoc(docstring)))
    if len(paragraphs) < 2:
        return None
    query = " ".join(_markup_free(" ".join(paragraphs[0])).split())
    if not _is_query(query):
        return None
    texts = (" ".join(_markup_free(" ".join(paragraph)).split()) for paragraph in paragraphs[1:])
    rest = "\n".join(text for text in texts if len(_WORD.findall(text)) > 1)
    if len(_WORD.findall(rest)) < _MIN_REST_WORDS or normalised(query).rstrip(".") in normalised(rest):
        return None
    return query, rest


def _paragraphs(text: str) -> Iterator[list[str]]:
    """Paragraphs as lines, without code: fenced, in an interactive session, or indented after ``::``."""
    paragraph: list[str] = []
    fenced = False
    literal: int | None = None
    for line in [*text.splitlines(), ""]:
        if _FENCE.match(line):
            fenced = not fenced
            continue
        if fenced or _UNDERLINE.match(line):
            continue
        directive = _UNPROSAIC.match(line)
        if line.strip() and not directive:
            paragraph.append(line)
            continue
        if paragraph and (literal is None or _indent(paragraph[0]) <= literal):
            yield _without_session(paragraph)
            last = paragraph[-1]
            literal = _indent(last) if last.rstrip().endswith("::") and not _DIRECTIVE.match(last) else None
        paragraph = []
        if directive and directive["code"]:
            literal = _indent(line)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _without_session(paragraph: list[str]) -> list[str]:
    """The lines before the first prompt: what follows is code and its output."""
    prompts = (
        position for position, line in enumerate(paragraph) if line.lstrip().startswith((">>>", "In ["))
    )
    return [_DIRECTIVE.sub("", line) for line in paragraph[: next(prompts, len(paragraph))]]


def _markup_free(text: str) -> str:
    return _ROLE.sub(r"\1", text).replace("``", "")


def _is_query(query: str) -> bool:
    words = sum(1 for word in query.split() if _WORD.search(word))
    letters = sum(character.isalpha() or character.isspace() for character in query)
    return (
        _MIN_QUERY_WORDS <= words <= _MAX_QUERY_WORDS
        and letters >= 0.8 * len(query)
        and not query.endswith(":")
        and not _CALL.match(query)
        and not _BOILERPLATE.match(query)
    )


def main() -> None:
    """Answer tasks from standard input until it ends."""
    # Syntax trees hold no cycles; looking for some doubles the time of parsing.
    gc.disable()
    for line in sys.stdin:
        message: dict[str, Any] = json.loads(line)
        pairs, broken = parse_task(Task(message["files"], message["enough"]))
        sys.stdout.write(json.dumps({"pairs": pairs, "broken": broken}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
