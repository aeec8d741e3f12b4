"""The kinds of input that the package understands, and the roles that columns play in them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What one row of the person's data is."""

    PAIRS = "pairs"
    """An anchor and one or several positives (question and answer, paraphrases, clicks)."""
    TRIPLETS = "triplets"
    """An anchor, a positive and at least one negative."""
    LABELLED = "labelled"
    """A text and its class."""
    SCORED = "scored"
    """Two texts and a score."""
    NLI = "nli"
    """Premise, hypothesis, and entailment, neutral or contradiction."""
    TEXTS = "texts"
    """Texts alone, for losses that need no label; measured on rows of another kind."""
    RETRIEVAL = "retrieval"
    """Queries, documents and judgements (the BEIR layout)."""

    @property
    def described(self) -> str:
        """What the rows are, in words."""
        words = {
            "labelled": "labelled text",
            "scored": "scored pairs",
            "nli": "NLI",
            "retrieval": "judgements",
        }
        return words.get(self.value, self.value)


@dataclass(frozen=True)
class Roles:
    """Which column, or template of columns (``"{subject}\\n{body}"``), plays which role.

    ``label`` is a class, or the NLI label when ``kind`` is ``Kind.NLI``. ``kept`` are columns
    with no role: used for splitting and slicing, never trained on. ``reasons`` says for each
    role how it was found ("named", "given", "the only text column", ...), to be printed.
    ``more_positives`` are further columns of positives beside ``positive`` (positive_2, positive_3).
    """

    kind: Kind
    anchor: str
    positive: str | None = None
    negatives: tuple[str, ...] = ()
    label: str | None = None
    score: str | None = None
    weight: str | None = None
    query_id: str | None = None
    document_id: str | None = None
    kept: tuple[str, ...] = ()
    reasons: tuple[tuple[str, str], ...] = ()
    more_positives: tuple[str, ...] = ()
