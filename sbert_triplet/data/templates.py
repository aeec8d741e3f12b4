"""A role is a column or a template of columns, such as ``"{subject}\\n{body}"``."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sbert_triplet.data.wording import listed
from sbert_triplet.errors import DataError


@dataclass(frozen=True)
class Template:
    """Literal texts and columns in turn: ``literals[0]``, ``columns[0]``, ``literals[1]``, ...

    ``{name}`` stands for the column of exactly that name, ``{{`` and ``}}`` for braces, ``\\n`` and
    ``\\t`` spelled with a backslash for a new line and a tab (as a shell passes them). There are no
    attributes, indices, formats or expressions: a template cannot run anything.
    """

    literals: tuple[str, ...]
    columns: tuple[str, ...]


def parse_template(text: str, columns: Collection[str]) -> Template:
    """Read a template over the given columns. Raises DataError with the position of what is wrong."""
    literals, names, literal, at = [], [], "", 0
    while at < len(text):
        two = text[at : at + 2]
        if two in ("{{", "}}", "\\n", "\\t"):
            literal += {"{{": "{", "}}": "}", "\\n": "\n", "\\t": "\t"}[two]
            at += 2
        elif text[at] == "}":
            raise _wrong(text, f"a }} without {{ at character {at + 1} (write }}}} for a brace)")
        elif text[at] == "{":
            end = text.find("}", at)
            if end < 0:
                raise _wrong(text, f"a {{ without }} at character {at + 1} (write {{{{ for a brace)")
            names.append(_column(text, text[at + 1 : end], columns))
            literals.append(literal)
            literal, at = "", end + 1
        else:
            literal += text[at]
            at += 1
    if not names:
        raise _wrong(text, "no {column} in it")
    return Template((*literals, literal), tuple(names))


def columns_of(role: str, columns: Collection[str]) -> tuple[str, ...]:
    """The columns that a role reads: itself where it is a column, else those of its template.

    Raises DataError for what is neither, with the nearest spelling.
    """
    if role in columns:
        return (role,)
    if "{" in role or "}" in role:
        return parse_template(role, columns).columns
    raise DataError(f"no column {role!r}{_nearest(role, columns)}")


def as_template(columns: Iterable[str]) -> str:
    """The template of the columns' texts, one below the other."""
    return "\n".join(f"{{{name}}}" for name in columns)


def shown(role: str) -> str:
    """A column or template on one line."""
    return role.replace("\n", "\\n").replace("\t", "\\t")


def _column(text: str, name: str, columns: Collection[str]) -> str:
    if name in columns:
        return name
    if not name.strip():
        raise _wrong(text, "empty braces; write the name of a column between them")
    if any(mark in name for mark in ".[]!:("):
        raise _wrong(
            text, f"{{{name}}} is no column; only plain names of columns, no attribute, index or format"
        )
    raise _wrong(text, f"no column {name!r}{_nearest(name, columns)}")


def _nearest(name: str, columns: Collection[str]) -> str:
    by_key = {column.casefold(): column for column in columns}
    near = difflib.get_close_matches(name.casefold(), by_key, n=1)
    listing = listed(sorted(columns))
    return f"; did you mean {by_key[near[0]]!r}?" if near else f"; there are {listing}"


def _wrong(text: str, what: str) -> DataError:
    return DataError(f"template {shown(text)!r}: {what}")
