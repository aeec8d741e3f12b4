"""What a recipe says about negatives that are mined before training, and while it goes on."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from sbert_triplet.errors import InputError
from sbert_triplet.mining.rules import Choice, Rules
from sbert_triplet.recipe.section import Section
from sbert_triplet.recipe.values import (
    NUMBER,
    WHOLE,
    Auto,
    Count,
    Expected,
    NotNegative,
    Number,
    PathText,
    said,
    unexpected,
)

SearchName = Literal["exact", "approximate", "bm25", "mixed"]
RULES = tuple(item.name for item in fields(Rules))
MEGABYTE = 1 << 20
EPOCH = "epoch"


def _steps_or_epoch(value: Any) -> int | str:
    if value == EPOCH:
        return EPOCH
    steps: int = WHOLE.check(value)
    if steps >= 1:
        return steps
    raise unexpected()


StepsOrEpoch = Annotated[
    Annotated[int, Field(ge=1)] | Literal["epoch"],
    Expected(f"a number of steps of at least 1, or {EPOCH}", _steps_or_epoch),
]

_DEFAULT = Rules()


class MineRecipe(Section):
    """Which texts are found as negatives of the rows of data.train; none are without ``negatives``."""

    wanted: ClassVar[str] = "keys and values, such as `negatives: 4`"

    negatives: Count | None = Field(
        default=None, description="At most so many for each query; none: nothing is mined", examples=[4]
    )
    search: SearchName = Field(
        default="exact",
        description="What proposes them: all documents compared, an index of faiss, words (BM25), or exact "
        "and BM25 in turn (mixed)",
    )
    relative_margin: NotNegative | None = Field(
        default=_DEFAULT.relative_margin,
        description="A share by which they score lower than the least of the query's positives",
        examples=[0.05],
    )
    absolute_margin: Number | None = Field(
        default=_DEFAULT.absolute_margin,
        description="By how much they score lower than the least of the query's positives",
        examples=[0.1],
    )
    max_score: Number | None = Field(
        default=_DEFAULT.max_score, description="Highest similarity with the query", examples=[0.9]
    )
    min_score: Number | None = Field(
        default=_DEFAULT.min_score, description="Lowest similarity with the query", examples=[0.2]
    )
    range_min: Annotated[int, Field(ge=0), WHOLE] = Field(
        default=_DEFAULT.range_min, description="First rank that is taken, from 0"
    )
    range_max: Auto[Count] = Field(
        default=_DEFAULT.range_max,
        description="Rank before which the last is taken; auto: 10 ranks for each negative",
        examples=[100],
    )
    choice: Choice = Field(
        default=_DEFAULT.choice,
        description="Which of those that are left: the nearest, any, or evenly spread",
    )
    near_equal: Annotated[float, Field(gt=0, le=1), NUMBER] | None = Field(
        default=_DEFAULT.near_equal,
        description="Share of common words from which on two texts count as the same; none: equal texts only",
    )
    transitive_hops: Annotated[int, Field(ge=0), WHOLE] | None = Field(
        default=_DEFAULT.transitive_hops,
        description="Texts joined to the query by a chain of so many positives are no negatives; none: "
        "of any length, 0: off",
    )
    transitive_size: Annotated[int, Field(ge=2), WHOLE] | None = Field(
        default=_DEFAULT.transitive_size,
        description="Chains say nothing where they join more texts than this; none: they always do",
    )
    rescore: PathText | None = Field(
        default=None,
        description="A cross-encoder whose scores take the place of similarities: a folder or a Hub id",
        examples=["cross-encoder/ms-marco-MiniLM-L6-v2"],
    )
    marks: PathText | None = Field(
        default=None,
        description="A file of pairs that a person judged: a table of suspects with its column mark filled",
        examples=["marks.parquet"],
    )
    approximate_from: Count | None = Field(
        default=None,
        description="Documents from which on the exact search is done by an index of faiss; none: never",
        examples=[1_000_000],
    )
    index: Literal["ivf", "hnsw"] = Field(
        default="ivf", description="That index: documents in lists by their nearest centre, or a graph"
    )
    refresh: StepsOrEpoch | None = Field(
        default=None,
        description="Mined anew with the weights of the moment every so many steps, or at the end of "
        "each epoch; none: only before training",
        examples=[500, EPOCH],
    )
    memory: Annotated[int, Field(ge=MEGABYTE), WHOLE] = Field(
        default=1 << 30, description="Bytes that the search may take beside the embeddings"
    )

    @model_validator(mode="after")
    def _goes_together(self) -> MineRecipe:
        if self.negatives is None:
            for key, field in type(self).model_fields.items():
                if getattr(self, key) != field.default:
                    raise said(f"{key} goes with a number of negatives: give `negatives` as well")
            return self
        try:
            self.rules()
        except InputError as error:
            raise said(str(error)) from None
        return self

    def rules(self) -> Rules:
        """What a negative must satisfy. Raises InputError for values that contradict each other."""
        given = {name: getattr(self, name) for name in RULES}
        return Rules(**given | {"negatives": self.negatives or _DEFAULT.negatives})

    def refresh_steps(self, per_epoch: int) -> int | None:
        """After how many steps they are mined anew, in epochs of so many; None where they never are."""
        return per_epoch if isinstance(self.refresh, str) else self.refresh
