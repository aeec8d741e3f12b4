"""What kind of table the columns make, and which of them play the roles of that kind."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from sbert_triplet.data import column_names as names
from sbert_triplet.data.column_given import Given
from sbert_triplet.data.column_profile import Character, Column
from sbert_triplet.data.column_search import (
    BY_NAME,
    Found,
    Pair,
    Strength,
    UnclearError,
    find_named,
    find_pair,
    find_text,
    is_named_text,
    listed,
    unnamed_prose,
)
from sbert_triplet.data.column_targets import find_label, find_score, label_kind, pair_labels
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.labels import is_upside_down, means_nli, means_score


@dataclass(frozen=True)
class Draft:
    """The kind of a table and the roles of that kind; ids, weights and kept columns come later."""

    kind: Kind
    anchor: Found
    positive: Found | None = None
    negative: Found | None = None
    label: Found | None = None
    score: Found | None = None


@dataclass(frozen=True)
class Table:
    """``columns`` by name; ``free`` are those that no given role reads."""

    columns: Mapping[str, Column]
    free: Collection[Column]
    given: Given

    def given_column(self, role: str) -> Column | None:
        name = self.given.columns.get(role)
        return None if name is None else self.columns[name]


def decide_kind(table: Table) -> Draft:
    """Raises UnclearError with what was tried where the columns allow no kind, or more than one."""
    if table.given.kind is Kind.LABELLED:
        return _labelled(table)
    if table.given.kind is Kind.TEXTS:
        return _texts(table)
    if table.given.kind is not None:
        return _as_kind(table.given.kind, table)
    if {"positive", "negative"} & set(table.given.texts) or "score" in table.given.columns:
        return _meant(_pair(table), table)
    if "label" in table.given.columns:
        return _with_given_label(table)
    return _inferred(table)


def _with_given_label(table: Table) -> Draft:
    label = table.given_column("label")
    assert label is not None
    try:
        pair = find_pair(table.free, table.given.texts)
    except UnclearError:
        pair = None
    if pair and pair.strength >= Strength.HALF and label_kind(label, pair):
        return _meant(pair, table)
    return _labelled(table)


def _inferred(table: Table) -> Draft:
    classes, plainly = find_label(table.free)
    try:
        pair = find_pair(table.free, table.given.texts)
    except UnclearError:
        if plainly and not table.given.texts:
            return _labelled(table)
        raise
    if pair is None:
        return _labelled(table)
    if pair.strength is Strength.STRONG:
        return _meant(pair, table)
    if pair.strength is Strength.HALF:
        draft = _meant(pair, table)
        if draft.kind is Kind.PAIRS and classes:
            raise _either(pair, classes[0])
        return draft
    if pair.strength is Strength.INTERCHANGEABLE:
        return _interchangeable(pair, table)
    if classes and not plainly:
        raise _either(pair, classes[0])
    return _labelled(table) if classes else Draft(Kind.PAIRS, pair.anchor, pair.positive)


def _interchangeable(pair: Pair, table: Table) -> Draft:
    texts = [table.columns[found.roles[0]] for found in (pair.anchor, pair.positive)]
    if not any(is_named_text(text) for text in texts):
        draft = _meant(pair, table)
        if draft.kind is Kind.SCORED:
            return draft
        raise UnclearError(
            f"anchor and positive: {listed(texts)} are both free text, and no name says which is what"
        )
    return _labelled(table)


def _meant(pair: Pair, table: Table) -> Draft:
    """What a pair of texts is: with negatives, with a score, with an NLI label, or a plain pair."""
    negative = table.given.texts.get("negative") or find_named("negative", _left(table.free, pair))
    if negative:
        return Draft(Kind.TRIPLETS, pair.anchor, pair.positive, negative=negative)
    score = table.given_column("score")
    if score:
        return Draft(Kind.SCORED, pair.anchor, pair.positive, score=Found((score.name,), "as given"))
    label = table.given_column("label")
    score = None if label else find_score(_left(table.free, pair), pair)
    if score:
        return Draft(Kind.SCORED, pair.anchor, pair.positive, score=Found((score.name,), BY_NAME))
    draft = Draft(Kind.PAIRS, pair.anchor, pair.positive)
    for column in [label] if label else pair_labels(_left(table.free, pair)):
        if not label and column.is_yes_no and not column.class_names and "premise" in pair.anchor.roles:
            question = f"label: of 0 and 1 in {column.name!r}, which is entailment? Given as score, 1 is"
            raise UnclearError(question, settle={"score": column.name})
        kind = label_kind(column, pair)
        reason = "as given" if label else BY_NAME
        if kind is Kind.NLI:
            return replace(draft, kind=kind, label=Found((column.name,), _nli_reason(column, reason)))
        if kind is Kind.SCORED:
            return replace(
                draft, kind=kind, score=Found((column.name,), f"{reason}; a label of numbers is a score")
            )
        if label or names.key(column.name) in names.PLAIN_LABELS:
            raise _unread_label(column)
    return draft


def _as_kind(kind: Kind, table: Table) -> Draft:
    pair = _pair(table)
    if pair.strength is Strength.INTERCHANGEABLE and kind is not Kind.SCORED:
        raise UnclearError("anchor and positive: two free texts, and no name says which is what")
    draft = Draft(kind, pair.anchor, pair.positive)
    left = _left(table.free, pair)
    if kind is Kind.TRIPLETS:
        negative = table.given.texts.get("negative") or find_named("negative", left)
        if not negative:
            raise UnclearError(
                "negative: no name of a column asks for it (negative, neg, hard_negative_1, ...)"
            )
        return replace(draft, negative=negative)
    if kind is Kind.SCORED:
        score = table.given_column("score") or find_score(left, pair)
        score = score or next((column for column in pair_labels(left) if means_score(column)), None)
        if not score:
            raise _no_score(left)
        return replace(draft, score=Found((score.name,), _reason("score", table)))
    if kind is Kind.NLI:
        label = table.given_column("label")
        label = label or next((column for column in left if means_nli(column, bare_numbers=True)), None)
        if not label or not means_nli(label, bare_numbers=True):
            raise UnclearError("label: no column tells entailment, neutral and contradiction apart")
        return replace(draft, label=Found((label.name,), _nli_reason(label, _reason("label", table))))
    return draft


def _labelled(table: Table) -> Draft:
    given = table.given_column("label")
    text = table.given.texts.get("anchor")
    if given:
        label = Found((given.name,), "as given")
    else:
        classes, _ = find_label(table.free)
        if len(classes) > 1:
            reading = {"label": classes[0].name}
            raise UnclearError(f"label: {listed(classes)} could each be it", settle=reading)
        label = Found((classes[0].name,), BY_NAME) if classes else _only_classes(table.free)
    rest = [column for column in table.free if column.name not in label.roles]
    text = text or find_text(rest)
    if not text:
        raise UnclearError("anchor: no column of text is left beside the label")
    return Draft(Kind.LABELLED, text, label=label)


def _texts(table: Table) -> Draft:
    text = table.given.texts.get("anchor") or find_text(table.free)
    if not text:
        raise UnclearError("anchor: no single column of text; name the one to train on")
    return Draft(Kind.TEXTS, text)


def _only_classes(free: Collection[Column]) -> Found:
    """The one column of few distinct values beside the one free text."""
    prose = unnamed_prose(free)
    few = [
        column
        for column in free
        if column.is_class_like
        and not column.is_constant
        and not column.is_prose
        and not names.is_remark(column.name)
        and column.character not in (Character.LINK, Character.IDENTIFIER)
    ]
    if len(prose) == 1 and len(few) == 1 and few[0].distinct < few[0].cells:
        return Found((few[0].name,), "the only column of few distinct values, beside the only free text")
    raise UnclearError(
        "anchor and positive: no two columns are named as the two texts of a pair (anchor and positive, "
        "question and answer, query and document, sentence1 and sentence2, ...)",
        *(_not_classes(column) for column in free if names.label_rank(column.name) is not None),
        *(
            ["label: no column is named as a class (label, class, intent, category, ...)"]
            if all(names.label_rank(column.name) is None for column in free)
            else []
        ),
        of_recipes=["texts alone: data.kind: texts trains on them without labels (simcse), given a data.test"]
        if len(prose) == 1
        else [],
    )


def _not_classes(column: Column) -> str:
    why = f"it has {column.distinct:,} distinct values in {column.cells:,} cells"
    if column.distinct < 2:
        why = "it holds no values" if not column.cells else "all its values are the same"
    return f"label: the column {column.name!r} cannot be one: {why}"


def _no_score(free: Collection[Column]) -> UnclearError:
    constant = [column for column in free if column.is_constant and names.score_rank(column.name) is not None]
    if constant:
        return UnclearError(
            f"score: the column {constant[0].name!r} has one value only, so there is nothing to rank",
            settle={"score": "a column of several scores"},
        )
    return UnclearError("score: no column of numbers has the name of one (score, similarity, relevance, ...)")


def _pair(table: Table) -> Pair:
    pair = find_pair(table.free, table.given.texts)
    if pair is None:
        missing = [role for role in ("anchor", "positive") if role not in table.given.texts]
        raise UnclearError(
            f"{' and '.join(missing)}: no name of a column asks for it, and no single text is left"
        )
    return pair


def _left(free: Collection[Column], pair: Pair) -> list[Column]:
    roles = {*pair.anchor.roles, *pair.positive.roles}
    return [
        column for column in free if not any(column.name == r or f"{{{column.name}}}" in r for r in roles)
    ]


def _reason(role: str, table: Table) -> str:
    return "as given" if role in table.given.columns else BY_NAME


def _nli_reason(label: Column, reason: str) -> str:
    if label.character is Character.NUMBER:
        return f"{reason}; bare numbers: 0 entailment, 1 neutral, 2 contradiction, as in SNLI and MultiNLI"
    return f"{reason}; entailment, neutral, contradiction"


def _unread_label(label: Column) -> UnclearError:
    if is_upside_down(label):
        return UnclearError(
            f"label: in {label.name!r} 1 is the negative answer by its name; as a score it is upside down",
            settle={"score": "a column in which 1 is the positive answer"},
        )
    tried = (
        f"label: {label.name!r} beside two texts is neither 0 and 1, nor numbers with fractions, nor "
        f"entailment, neutral and contradiction"
    )
    if label.is_numeric:
        return UnclearError(tried, settle={"score": label.name}, instead={"label": label.name, "kind": "nli"})
    return UnclearError(tried, settle={"kind": "pairs"})


def _either(pair: Pair, label: Column) -> UnclearError:
    anchor, positive = pair.anchor.roles[0], pair.positive.roles[0]
    return UnclearError(
        f"{anchor!r} and {positive!r} could be pairs, or texts of the classes in {label.name!r}",
        settle={"anchor": anchor, "positive": positive},
        instead={"anchor": anchor, "label": label.name},
    )
