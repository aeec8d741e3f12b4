"""Models that were trained with prompts, and the prompts their authors document."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sbert_triplet.evaluation.audit.findings import Finding


@dataclass(frozen=True)
class Prompts:
    """What a model wants before a query and before a document; empty for nothing."""

    query: str
    document: str = ""

    def __str__(self) -> str:
        document = repr(self.document) if self.document else "nothing"
        return f"{self.query!r} before queries and {document} before documents"


_SEARCH_SENTENCE = Prompts("Represent this sentence for searching relevant passages: ")
_WEB_SEARCH = "Instruct: Given a web search query, retrieve relevant passages that answer the query"

# From the authors' model cards; matched against the last part of the model's name.
_KNOWN: tuple[tuple[re.Pattern[str], Prompts], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), prompts)
    for pattern, prompts in (
        (r"(multilingual-e5-large|e5-mistral-7b)-instruct", Prompts(f"{_WEB_SEARCH}\nQuery: ")),
        (r"(multilingual-)?e5-(small|base|large)(-v2)?", Prompts("query: ", "passage: ")),
        (r"bge-(small|base|large)-en(-v1\.5)?", _SEARCH_SENTENCE),
        (r"bge-(small|base|large)-zh(-v1\.5)?", Prompts("为这个句子生成表示以用于检索相关文章：")),
        (r"snowflake-arctic-embed-[ml]-v2\.0", Prompts("query: ")),
        (r"snowflake-arctic-embed-(xs|s|m|m-long|l|m-v1\.5)", _SEARCH_SENTENCE),
        (r"mxbai-embed-large-v1", _SEARCH_SENTENCE),
        (r"uae-large-v1", _SEARCH_SENTENCE),
        (
            r"(nomic-embed-text-v(1|1\.5|2-moe)|modernbert-embed-(base|large))",
            Prompts("search_query: ", "search_document: "),
        ),
        (r"qwen3-embedding-[\d.]+b", Prompts(f"{_WEB_SEARCH}\nQuery:")),
        (r"gte-qwen[\d.]+-[\d.]+b-instruct", Prompts(f"{_WEB_SEARCH}\nQuery: ")),
        (r"(sfr-embedding-(mistral|2_r)|linq-embed-mistral)", Prompts(f"{_WEB_SEARCH}\nQuery: ")),
        (r"stella_en_(400m|1\.5b)_v5", Prompts(f"{_WEB_SEARCH}.\nQuery: ")),
        (
            r"embeddinggemma-300m(-[a-z\d_-]+)?",
            Prompts("task: search result | query: ", "title: none | text: "),
        ),
        (
            r"jina-embeddings-v3",
            Prompts(
                "Represent the query for retrieving evidence documents: ",
                "Represent the document for retrieval: ",
            ),
        ),
        (r"jina-embeddings-v4", Prompts("Query: ", "Passage: ")),
        (
            r"instructor-(base|large|xl)",
            Prompts(
                "Represent the question for retrieving supporting documents: ",
                "Represent the document for retrieval: ",
            ),
        ),
    )
)


def known_prompts(model_name: str) -> Prompts | None:
    """The prompts that a model is documented to want, by its name or folder; None where none are known."""
    last = re.split(r"[/\\]", model_name.rstrip("/\\"))[-1]
    return next((prompts for pattern, prompts in _KNOWN if pattern.fullmatch(last)), None)


def missing_prompts(expected: Prompts | str | None, are_set: bool) -> list[Finding]:
    """A model that wants prompts and has none."""
    if expected is None or are_set:
        return []
    message = (
        f"This model was trained with prompts and none is set: {expected}. Set prompts.query and "
        "prompts.document (empty texts, if training without them is what you want)."
    )
    return [Finding("prompts-missing", "warning", message)]
