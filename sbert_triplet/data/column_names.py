"""What the name of a column says about its role."""

from __future__ import annotations

import re
from collections.abc import Iterable


def _family(names: str) -> frozenset[str]:
    """Names without case and separators, as ``key`` gives them."""
    return frozenset(names.split())


OWN_NAMES = {
    "anchor": _family("anchor anchors"),
    "positive": _family("positive positives"),
    "negative": _family("negative negatives"),
}
"""The names of the roles themselves: taken whatever the cells look like."""

TEXT_FAMILIES = {
    "anchor": _family(
        "query queries question questions search searchquery searchterm searchterms searchphrase searchtext "
        "keyword keywords prompt instruction premise request inquiry enquiry problem claim docstring "
        "utterance q"
    ),
    "positive": _family(
        "pos answer answers document documents doc passage passages response responses reply replies "
        "hypothesis clicked context contexts completion output solution resolution evidence paraphrase "
        "simplified simplification translation code chosen a"
    ),
    "negative": _family(
        "neg negs hardnegative hardnegatives hardneg hardnegs distractor distractors rejected wrong "
        "incorrect irrelevant nonrelevant"
    ),
}

HEADS = _family("title subject headline heading")
"""Texts that are commonly read together with a body: "{title}\\n{body}"."""
SHORT_TEXTS = HEADS | _family("summary name productname itemname")
BODIES = _family(
    "body text content contents description message abstract article details detail comment review post "
    "ticket note notes sentence input email story paragraph tweet phrase caption original"
)
PLAIN_TEXTS = _family("text sentence premise hypothesis")
"""Names that mean text even where every cell is one word that looks like an id or a code."""

LABELS = ("label", "labels", "goldlabel", "class", "intent", "target")
"""Names that can only mean what a model shall tell apart, the plainest first."""
PLAIN_LABELS = _family("label labels goldlabel")
WEAK_LABELS = (
    *("category", "topic", "tag", "sentiment", "emotion", "genre", "department", "queue", "subcategory"),
    *("categories", "topics", "tags"),
)
"""Names that mean a class in one table and a remark about the row in the next."""

SCORES = _family(
    "score similarity similarityscore simscore relevance relevancescore goldscore cosine isduplicate "
    "duplicate isparaphrase ismatch match isrelevant relevant similar issimilar related isrelated "
    "relatedness relatednessscore clicked isclicked correct iscorrect isselected isanswer"
)
DISTANCES = _family("distance distances dist dissimilarity")
WEAK_SCORES = _family("rating ratings grade stars")

WEIGHTS = _family("weight weights sampleweight rowweight exampleweight importance")
QUERY_IDS = _family("queryid qid questionid anchorid")
DOCUMENT_IDS = _family("documentid docid did corpusid passageid pid answerid positiveid")

_REMARKS = _family(
    "id ids idx index uuid guid key hash date time timestamp datetime created updated at on lang language "
    "locale url uri link href author user username customer agent email phone country city region source "
    "split fold version status state priority count clicks views votes len length num number type file "
    "filename filepath path page dataset license provider image score rank parse"
)
_SIDE_MARKS = (("1", "2"), ("0", "1"), ("a", "b"), ("left", "right"), ("first", "second"), ("x", "y"))
_NAMED_SIDES = (
    ("premise", "hypothesis"),
    ("source", "target"),
    ("src", "tgt"),
    ("lhs", "rhs"),
    ("input", "target"),
)


def words(name: str) -> tuple[str, ...]:
    """The words of a name: "isDuplicate", "is_duplicate" -> is, duplicate; "sentence1" -> sentence, 1."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Za-z])(?=\d)", " ", name)
    return tuple(re.findall(r"[^\W_]+", spaced.casefold()))


def key(name: str) -> str:
    """The name without case and separators."""
    return "".join(words(name))


def stem(name: str) -> str:
    """The key without a trailing number: "negative_12" -> "negative"."""
    return key(name).rstrip("0123456789")


def number(name: str) -> int:
    """The trailing number of a name, 0 where there is none: the order of negative_1, negative_2, ..."""
    last = re.search(r"\d+$", key(name))
    return int(last.group()) if last else 0


def is_remark(name: str) -> bool:
    """Whether the name says that the column is about the row (an id, a date, a language), not its text."""
    parts = [word for word in words(name) if not word.isdigit()]
    return bool(parts) and parts[-1] in _REMARKS


def text_rank(role: str, name: str) -> int | None:
    """How plainly a name asks for a text role: 0 its own name, 1 a name of its family, 2 a word of the
    family in it; None not at all. A word for "negative" outweighs all others in the name.
    """
    bare = stem(name)
    if bare in OWN_NAMES[role]:
        return 0
    if bare in TEXT_FAMILIES[role]:
        return 1
    if is_remark(name):
        return None
    families = {part: OWN_NAMES[part] | TEXT_FAMILIES[part] - {"a", "q"} for part in TEXT_FAMILIES}
    meant = {part for part, family in families.items() if any(word in family for word in words(name))}
    if "negative" in meant:
        meant = {"negative"}
    return 2 if meant == {role} else None


def label_rank(name: str) -> int | None:
    """The plainer a name asks for classes the smaller; below ``len(LABELS)`` it can mean nothing else."""
    order = [*LABELS, *WEAK_LABELS]
    if key(name) in order:
        return order.index(key(name))
    if is_remark(name) or not any(word in LABELS + WEAK_LABELS for word in words(name)):
        return None
    return len(order)


def score_rank(name: str) -> int | None:
    """0 a name of the family of scores, 1 a name with its word in it, 2 a rating of something; else None."""
    if key(name) in SCORES:
        return 0
    if key(name) in WEAK_SCORES:
        return 2
    return 1 if {"score", "similarity", "relevance", "relatedness"} & set(words(name)) else None


def sides(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that are the two sides of a pair: sentence1 and sentence2, text_a and text_b.

    The plainest first: a mark at the end of the name before a mark inside it.
    """
    by_words = {words(name): name for name in names}
    found: list[tuple[int, str, str]] = []
    for parts, name in by_words.items():
        for first, second in _NAMED_SIDES:
            if parts == (first,) and (second,) in by_words:
                found.append((0, name, by_words[(second,)]))
        for at, word in enumerate(parts):
            for first, second in _SIDE_MARKS:
                other = (*parts[:at], second, *parts[at + 1 :])
                third = (*parts[:at], "2" if first == "0" else "3", *parts[at + 1 :])
                if word == first and other in by_words and third not in by_words:
                    found.append((0 if at == len(parts) - 1 else 1, name, by_words[other]))
    plainest = min((rank for rank, _, _ in found), default=0)
    return [(first, second) for rank, first, second in found if rank == plainest]
