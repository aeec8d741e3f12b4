"""What is wrong with the input of mining, said before anything is encoded."""

from __future__ import annotations

import numpy as np

from sbert_triplet.data.examples import Examples, IntArray
from sbert_triplet.data.texts import TextTable
from sbert_triplet.errors import InputError
from sbert_triplet.mining.marks import Marks
from sbert_triplet.mining.rules import Rules

_SHOWN = 80


def pairs_of(examples: Examples, texts: TextTable) -> IntArray:
    """(n, 2) distinct text ids (query, positive) of the examples.

    Raises InputError where there are none, for ids that ``texts`` does not hold, and for a query
    without a positive.
    """
    pairs = examples.known_positives()
    if not len(pairs):
        raise InputError(
            "negatives are mined for pairs of a query and its positive, and these rows "
            f"({examples.kind.described}) have none"
        )
    _check_ids(examples.anchors, "query", texts)
    _check_ids(pairs[:, 1], "positive", texts)
    without = np.flatnonzero(~np.isin(examples.anchors, pairs[:, 0]))
    if without.size:
        count, first = len(np.unique(examples.anchors[without])), int(without[0])
        raise InputError(
            f"row {int(examples.row_numbers[first]) + 1}: the query "
            f"{_short(texts, int(examples.anchors[first]))} has no positive (queries like this: {count:,}); "
            "a negative is found by comparison with one: leave the query out"
        )
    return pairs


def check(documents: IntArray, known: IntArray, marks: Marks, rules: Rules, texts: TextTable) -> None:
    """Raise InputError for what no mining can be done with; as ``hard_negatives.mine`` says.

    ``documents``: (N,) text ids. ``known``: (n, 2) pairs that are no negatives.
    """
    if not len(documents):
        raise InputError("the corpus is empty: there is no document that could be a negative")
    if (np.diff(documents) <= 0).any():
        raise ValueError("the text ids of the documents must ascend without repeats")
    _check_ids(documents, "document", texts)
    _check_ids(known.ravel(), "known positive", texts)
    for name, pairs in (
        ("positive", marks.positives),
        ("negative", marks.negatives),
        ("ignore", marks.ignored),
    ):
        _check_ids(pairs.ravel(), f"pair marked as {name}", texts)
    needed = rules.range_min + rules.negatives
    if len(documents) < needed:
        asked = f"{rules.negatives} negatives a query"
        asked += f" from rank {rules.range_min} on" if rules.range_min else ""
        raise InputError(
            f"the corpus has {len(documents)} documents, too few for {asked}: at least {needed} are needed"
        )
    _check_marks(known, marks, texts)


def _check_marks(known: IntArray, marks: Marks, texts: TextTable) -> None:
    pairs = {(int(query), int(positive)) for query, positive in known} if len(marks.negatives) else set()
    for query, document in marks.negatives.tolist():
        if (query, document) in pairs:
            raise InputError(
                f"the document {_short(texts, document)} is marked as a negative of the query "
                f"{_short(texts, query)}, and the data says that it is a positive: take back the mark or "
                "remove the row"
            )


def _check_ids(ids: IntArray, what: str, texts: TextTable) -> None:
    wrong = ids[(ids < 0) | (ids >= len(texts))]
    if wrong.size:
        raise InputError(f"{what} {int(wrong[0])} is not in the texts, which have ids 0 to {len(texts) - 1}")


def _short(texts: TextTable, id_: int) -> str:
    text = texts.text(id_)
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
