"""Which column plays which role: as given, else inferred by name and by what the cells hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import datasets

from sbert_triplet.data import column_names as names
from sbert_triplet.data.column_given import Given, check_given
from sbert_triplet.data.column_kinds import Draft, Table, decide_kind
from sbert_triplet.data.column_message import unclear_roles
from sbert_triplet.data.column_profile import Character, Column, profile_columns
from sbert_triplet.data.column_search import BY_NAME, UnclearError
from sbert_triplet.data.headers import cell_like
from sbert_triplet.data.kinds import Kind, Roles
from sbert_triplet.data.templates import columns_of, shown
from sbert_triplet.data.wording import listed
from sbert_triplet.errors import DataError

_LONG_TEXT = 300
_SHOWN = 60
_ONE_TEXT = (Kind.LABELLED, Kind.TEXTS)
_WITHOUT_TYPES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz")
_NAMED_IDS = {"query_id": names.QUERY_IDS, "document_id": names.DOCUMENT_IDS}


def infer_roles(
    dataset: datasets.Dataset,
    given: Mapping[str, str | Sequence[str]] | None = None,
    *,
    name: str,
    in_suite: bool = False,
) -> Roles:
    """The kind of the table and the role of each of its columns.

    ``given``: roles anchor, positive, negative (a column or a template; the last two also a list of
    these), label, score, weight, query_id, document_id (a column) and kind. They stand; the rest is
    inferred from the columns that they leave, where it is unambiguous. ``name`` is the table's, for
    messages; ``in_suite``: they name the keys of a suite's task. Raises DataError for a given role that
    cannot be, and where the roles are missing or ambiguous: with all columns, what was tried, and the
    lines of recipe that settle it.
    """
    if not dataset.column_names:
        raise DataError(f"{name}: the table has no columns")
    if not len(dataset):
        raise DataError(f"{name}: the table has no rows")
    if not given and name.casefold().endswith(_WITHOUT_TYPES):
        _refuse_missing_header(dataset.column_names, name, in_suite)
    columns = profile_columns(dataset)
    try:
        checked = check_given(given, columns)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    used = checked.used(columns)
    free = [column for column in columns.values() if column.name not in used]
    try:
        draft = decide_kind(Table(columns, free, checked))
    except UnclearError as reason:
        raise unclear_roles(name, columns, reason, given or {}, in_suite=in_suite) from None
    _refuse_unused(name, draft, checked, in_suite)
    if draft.kind is Kind.PAIRS and "kind" not in (given or {}):
        _refuse_ungraded(name, free, in_suite)
    return _roles(draft, checked, columns)


def _refuse_missing_header(found: Sequence[str], name: str, in_suite: bool) -> None:
    """Raise DataError where the first line of a file, taken for column names, looks like a row."""
    cell = cell_like(found)
    if cell is not None:
        named = "as `columns` of the task" if in_suite else "with --anchor, --positive, --label or --score"
        raise DataError(
            f"{name}: its first line should name the columns, and {_shortened(cell)!r} looks like a cell. "
            "Put a line of names above the rows (such as question,answer); if these are the names, say "
            f"which is which {named}"
        )


def _refuse_ungraded(name: str, free: Collection[Column], in_suite: bool) -> None:
    """Raise DataError for a column that grades pairs and cannot be used: all would count as positives."""
    otherwise = "" if in_suite else ", or set data.kind: pairs to train on all as positives"
    remedy = "and pairs without a score all count as belonging together"
    for column in free:
        key = names.key(column.name)
        if column.is_constant or not column.is_scalar:
            continue
        if key in names.DISTANCES and column.is_numeric:
            raise DataError(
                f"{name}: {column.name} tells how far the texts of a pair are apart, {remedy}. Give a column "
                f"score that is larger for nearer texts{otherwise}"
            )
        words = column.character in (Character.CATEGORY, Character.CODE, Character.TEXT)
        if key in names.SCORES and words and column.repeats:
            raise DataError(
                f"{name}: {column.name} grades the pairs in words ({column.describe()}), {remedy}. Turn the "
                f"words into numbers{otherwise}"
            )


def describe_roles(roles: Roles) -> list[str]:
    """Lines to print: the kind, each role with its column and how it was found, and what is kept."""
    reasons = dict(pair for pair in roles.reasons if pair[0] != "note")
    played = [("anchor", roles.anchor)]
    played += [("positive", column) for column in (roles.positive, *roles.more_positives) if column]
    played += [("negative", column) for column in roles.negatives]
    others = ("label", "score", "weight", "query_id", "document_id")
    played += [(role, getattr(roles, role)) for role in others if getattr(roles, role)]
    width = max(len(shown(column)) for _, column in played)
    lines = [f"{'kind':<13}{roles.kind.value}"]
    lines += [
        f"{role:<13}{shown(column):<{width}}   ({reasons[role]})"
        for role, column in played
        if role in reasons
    ]
    lines += [f"{role:<13}{shown(column)}" for role, column in played if role not in reasons]
    if roles.kept:
        lines.append(f"{'kept':<13}{listed(roles.kept)}   (no role: for splitting and slicing)")
    return lines + [f"{'note':<13}{text}" for role, text in roles.reasons if role == "note"]


def _refuse_unused(name: str, draft: Draft, given: Given, in_suite: bool) -> None:
    used = {role for role in ("anchor", "positive", "negative", "label", "score") if getattr(draft, role)}
    if draft.kind is Kind.SCORED and "label" in given.columns and draft.score is not None:
        used |= {"label"} if draft.score.roles == (given.columns["label"],) else set()
    unused = [
        role for role in (*given.texts, *given.columns) if role in ("positive", "negative", "label", "score")
    ]
    unused = [role for role in unused if role not in used]
    if unused:
        raise DataError(
            f"{name}: columns.{unused[0]} is given, and {draft.kind.value} have no use for it; "
            f"leave it out{'' if in_suite else ', or set data.kind'}"
        )


def _roles(draft: Draft, given: Given, columns: Mapping[str, Column]) -> Roles:
    found = {role: getattr(draft, role) for role in ("anchor", "positive", "negative", "label", "score")}
    reasons = [(role, item.reason) for role, item in found.items() if item]
    used = {
        name for item in found.values() if item for role in item.roles for name in columns_of(role, columns)
    }
    single = {role: name for role, name in given.columns.items() if role in ("weight", *_NAMED_IDS)}
    reasons += [(role, "as given") for role in single]
    free = [column for column in columns.values() if column.name not in used | set(single.values())]
    for role, column in _by_exact_name(free, draft.kind):
        if role not in single:
            single[role] = column.name
            reasons.append((role, BY_NAME))
    rest = [column for column in free if column.name not in single.values()]
    kept, notes = _kept(rest, draft)
    positives = draft.positive.roles if draft.positive else ()
    return Roles(
        kind=draft.kind,
        anchor=draft.anchor.roles[0],
        positive=positives[0] if positives else None,
        negatives=draft.negative.roles if draft.negative else (),
        label=draft.label.roles[0] if draft.label else None,
        score=draft.score.roles[0] if draft.score else None,
        weight=single.get("weight"),
        query_id=single.get("query_id"),
        document_id=single.get("document_id"),
        kept=tuple(kept),
        reasons=(*reasons, *(("note", note) for note in notes)),
        more_positives=positives[1:],
    )


def _by_exact_name(free: Collection[Column], kind: Kind) -> list[tuple[str, Column]]:
    """The row weight, and for two texts the ids of their sides; two columns of one role play none."""
    families = {"weight": names.WEIGHTS, **({} if kind in _ONE_TEXT else _NAMED_IDS)}
    found = []
    for role, family in families.items():
        fitting = [column for column in free if names.key(column.name) in family and column.is_scalar]
        fitting = [column for column in fitting if column.is_numeric or role != "weight"]
        found += [(role, fitting[0])] if len(fitting) == 1 else []
    return found


def _kept(rest: Collection[Column], draft: Draft) -> tuple[list[str], list[str]]:
    """Columns for splitting and slicing, and remarks on those that are not or that look like a role."""
    kept, notes = [], []
    for column in rest:
        if not column.is_scalar or column.character is Character.EMPTY:
            notes.append(f"{column.name} is left alone: {column.describe()}")
            continue
        if column.character is Character.TEXT and column.characters > _LONG_TEXT:
            notes.append(f"{column.name} is left alone: a long text without a role")
            continue
        kept.append(column.name)
        if draft.kind is Kind.PAIRS and names.score_rank(column.name) is not None and column.is_numeric:
            why = "one value only" if column.is_constant else "counts or ratings of something else"
            notes.append(f"{column.name} is not taken for a score of the pair: {why}")
    return kept, notes


def _shortened(cell: str) -> str:
    return cell if len(cell) <= _SHOWN else f"{cell[: _SHOWN - 1]}…"
