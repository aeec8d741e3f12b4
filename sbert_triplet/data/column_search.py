"""Finding the columns of each role by their names and by what they hold, never by position alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from sbert_triplet.data import column_names as names
from sbert_triplet.data.column_profile import Character, Column
from sbert_triplet.data.templates import as_template

BY_NAME = "by its name"
_CLEARLY_LONGER = 3.0


class UnclearError(Exception):
    """More than one reading of the columns, or none.

    ``tried``: lines for the person. ``settle``: roles that the lines of recipe must name to settle it,
    beside the texts. ``instead``: roles of the other reading. ``of_recipes``: further lines for the person,
    where the columns are those of a recipe.
    """

    def __init__(
        self,
        *tried: str,
        settle: Mapping[str, str] | None = None,
        instead: Mapping[str, str] | None = None,
        of_recipes: Sequence[str] = (),
    ) -> None:
        super().__init__("; ".join(tried))
        self.of_recipes = tuple(of_recipes)
        self.tried, self.settle, self.instead = tried, dict(settle or {}), dict(instead or {})


class Strength(IntEnum):
    """How plainly two texts belong together."""

    INTERCHANGEABLE = 0
    """Two texts that nothing tells apart: good for a score only."""
    WEAK = 1
    """A title and its body, or a short text and a long one."""
    HALF = 2
    """One side by its name, the other as the only text that is left."""
    STRONG = 3
    """Both by their names, or as given."""


@dataclass(frozen=True)
class Found:
    """A role's columns or templates, and how they were found."""

    roles: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Pair:
    """``symmetric``: the names make the two texts sides of one kind (sentence1, sentence2)."""

    anchor: Found
    positive: Found
    strength: Strength
    symmetric: bool = False


def find_pair(free: Collection[Column], given: Mapping[str, Found]) -> Pair | None:
    """Anchor and positive among the free columns; None where nothing suggests two texts that belong together.

    Raises UnclearError where two columns have the same claim to one role.
    """
    anchor, positive = given.get("anchor"), given.get("positive")
    if anchor and positive:
        return Pair(anchor, positive, Strength.STRONG)
    if not anchor and not positive:
        both = _find_sides(free)
        if both:
            return both
    anchor_found = anchor or find_named("anchor", free)
    positive_found = positive or find_named("positive", free)
    if anchor_found and positive_found:
        return Pair(anchor_found, positive_found, Strength.STRONG)
    if positive_found:
        rest = find_unnamed(_without(free, positive_found))
        return Pair(rest, positive_found, Strength.STRONG) if rest else None
    if anchor_found:
        rest = find_unnamed(_without(free, anchor_found))
        return Pair(anchor_found, rest, Strength.HALF) if rest else None
    return _title_and_body(free) or _two_texts(free)


def find_named(role: str, free: Collection[Column]) -> Found | None:
    """The columns whose names ask for the role most plainly; for negatives all that ask for it."""
    ranked: dict[int, list[Column]] = {}
    for column in free:
        rank = names.text_rank(role, column.name)
        if rank is not None and _can_be(role, rank, column):
            ranked.setdefault(rank, []).append(column)
    if not ranked:
        return None
    if role == "negative":
        asked = [column for rank in sorted(ranked) for column in ranked[rank]]
        return Found(_numbered(asked), BY_NAME if len(asked) == 1 else "by their names")
    asked = ranked[min(ranked)]
    plain = [column for column in asked if column.character is not Character.CATEGORY] or asked
    return _settle(role, plain)


def find_unnamed(free: Collection[Column]) -> Found | None:
    """The one text that is left: a title and its body together, a body, a title, or the only free text."""
    titles, bodies = _titles(free), _bodies(free)
    if len(bodies) > 1:
        bodies = [column for column in bodies if names.key(column.name) == "text"] or bodies
    if len(titles) == 1 and len(bodies) == 1:
        return _joined(titles[0], bodies[0])
    if len(titles) + len(bodies) == 1:
        return Found((*(column.name for column in titles + bodies),), BY_NAME)
    if titles or bodies:
        raise UnclearError(f"{listed(titles + bodies)} could each be the text")
    prose = unnamed_prose(free)
    if len(prose) > 1:
        raise UnclearError(f"{listed(prose)} are free text, and no name says which is what")
    return Found((prose[0].name,), "the only free text that is left") if prose else None


def find_text(free: Collection[Column]) -> Found | None:
    """The text that a class belongs to."""
    named = find_named("anchor", free)
    if named and not _titles(free) and not _bodies(free):
        return named
    if named and names.text_rank("anchor", named.roles[0]) == 0:
        return named
    if named:
        raise UnclearError(
            f"{named.roles[0]!r} and {listed(_titles(free) + _bodies(free))} could each be the text"
        )
    return find_unnamed(free)


def unnamed_prose(free: Collection[Column]) -> list[Column]:
    """Free text whose name does not say that it is a remark about the row or a class."""
    return [
        column
        for column in free
        if column.is_prose and not names.is_remark(column.name) and names.label_rank(column.name) is None
    ]


def is_named_text(column: Column) -> bool:
    """Whether the name is that of a title or a body."""
    return bool(_titles([column]) or _bodies([column]))


def _find_sides(free: Collection[Column]) -> Pair | None:
    by_name = {column.name: column for column in free if _may_be_text(column)}
    pairs = names.sides(by_name)
    named = {
        role: [
            c.name
            for c in free
            if names.text_rank(role, c.name) in (0, 1) and c.character is not Character.OTHER
        ]
        for role in names.TEXT_FAMILIES
    }
    pairs = [pair for pair in pairs if not _is_several(pair, named)]
    pairs = [(one, two) for one, two in pairs if _are_alike(by_name[one], by_name[two])]
    if len(pairs) > 1:
        listing = ", ".join(f"{first} and {second}" for first, second in pairs)
        raise UnclearError(f"anchor and positive: {listing} could each be the two sides")
    if not pairs:
        return None
    first, second = (Found((name,), "two sides of a pair, by their names") for name in pairs[0])
    return Pair(first, second, Strength.STRONG, symmetric=True)


def _is_several(pair: tuple[str, str], named: Mapping[str, Sequence[str]]) -> bool:
    """Whether numbered columns are several positives or negatives of an anchor rather than two sides."""
    if names.stem(pair[0]) in names.OWN_NAMES["positive"] or pair[0] in named["negative"]:
        return True
    outside = {role: [name for name in found if name not in pair] for role, found in named.items()}
    if outside["anchor"] and outside["positive"]:
        return True
    return bool(outside["anchor"]) and pair[0] in named["positive"] and pair[1] in named["positive"]


def _are_alike(one: Column, two: Column) -> bool:
    return one.character is two.character or names.stem(one.name) in names.PLAIN_TEXTS


def _can_be(role: str, rank: int, column: Column) -> bool:
    if column.character is Character.TEXTS:
        return role != "anchor"
    if rank == 0:
        return column.character not in (Character.NUMBER, Character.BOOLEAN, Character.OTHER, Character.CLASS)
    return _may_be_text(column)


def _may_be_text(column: Column) -> bool:
    looks_otherwise = column.character in (Character.IDENTIFIER, Character.CODE)
    return column.is_text or (looks_otherwise and names.stem(column.name) in names.PLAIN_TEXTS)


def _settle(role: str, asked: Sequence[Column]) -> Found:
    if len(asked) == 1:
        return Found((asked[0].name,), BY_NAME)
    if role == "positive" and len({names.stem(column.name) for column in asked}) == 1:
        return Found(_numbered(asked), "by their names")
    titles, bodies = _titles(asked), _bodies(asked)
    if len(asked) == 2 and len(titles) == 1 and len(bodies) == 1:
        return _joined(titles[0], bodies[0])
    raise UnclearError(f"{role}: {listed(asked)} could each be it")


def _title_and_body(free: Collection[Column]) -> Pair | None:
    titles, bodies = _titles(free), _bodies(free)
    if len(titles) != 1 or len(bodies) != 1:
        return None
    title, body = (
        Found((column.name,), "a title and its body, by their names") for column in titles + bodies
    )
    return Pair(title, body, Strength.WEAK)


def _two_texts(free: Collection[Column]) -> Pair | None:
    prose = unnamed_prose(free)
    if len(prose) != 2:
        return None
    short, long = sorted(prose, key=lambda column: column.characters)
    if long.characters >= _CLEARLY_LONGER * short.characters:
        shorter = Found((short.name,), "the shorter of the only two texts")
        return Pair(shorter, Found((long.name,), "the longer of the only two texts"), Strength.WEAK)
    first, second = (Found((column.name,), "one of the only two texts") for column in prose)
    return Pair(first, second, Strength.INTERCHANGEABLE, symmetric=True)


def _titles(free: Collection[Column]) -> list[Column]:
    def is_title(name: str) -> bool:
        return names.key(name) in names.SHORT_TEXTS or (names.words(name) or ("",))[-1] in names.HEADS

    return [column for column in free if _may_be_text(column) and is_title(column.name)]


def _bodies(free: Collection[Column]) -> list[Column]:
    def is_body(name: str) -> bool:
        return names.key(name) in names.BODIES or (names.words(name) or ("",))[-1] in names.BODIES

    return [column for column in free if _may_be_text(column) and is_body(column.name)]


def _joined(title: Column, body: Column) -> Found:
    if set("{}") & set(title.name + body.name):
        raise UnclearError(f"{listed([title, body])} read as one text need names without braces")
    return Found(
        (as_template((title.name, body.name)),), "a title and its body read as one text, by their names"
    )


def _numbered(columns: Sequence[Column]) -> tuple[str, ...]:
    return tuple(column.name for column in sorted(columns, key=lambda column: names.number(column.name)))


def _without(free: Collection[Column], found: Found) -> list[Column]:
    used = set(found.roles)
    return [
        column
        for column in free
        if not any(column.name == role or f"{{{column.name}}}" in role for role in used)
    ]


def listed(columns: Sequence[Column]) -> str:
    """The names of the columns, for a message."""
    return " and ".join(repr(column.name) for column in columns)
