"""What a recipe says about the order in which rows and their negatives come."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from sbert_triplet.recipe.section import Section
from sbert_triplet.recipe.values import NUMBER, Auto, Count, PathText, Positive, said, unexpected
from sbert_triplet.training.curriculum import Order
from sbert_triplet.training.pacing import FIXED, Pacing, PacingName

ScoreName = Literal["reference", "jaccard", "length", "loss"]
SCORES: tuple[str, ...] = get_args(ScoreName)
START, FIXED_START, GROWTH = 0.2, 0.04, 1.9

PartOfAll = Annotated[float, Field(gt=0, le=1), NUMBER]


class CurriculumRecipe(Section):
    """Which rows of data.train come first, and which of their negatives; all of them, shuffled, without."""

    wanted: ClassVar[str] = f"a score ({', '.join(SCORES)}), or keys and values"

    score: ScoreName | None = Field(
        default=None,
        description="What tells difficult rows: a reference model, token Jaccard, length or the loss before "
        "training; none: all rows from the start",
        examples=["reference"],
    )
    order: Order = Field(
        default="curriculum",
        description="Easy rows first, difficult ones first (anti), or in random order with the same pacing",
    )
    pacing: PacingName = Field(
        default="linear", description="How the share of the rows in use rises from start to all of them"
    )
    full_at: PartOfAll = Field(
        default=0.5, description="Share of the steps after which all rows are in use", examples=[0.5]
    )
    start: Auto[PartOfAll] = Field(
        default=None,
        description=f"Share of the rows in use at first; auto: {START}, and {FIXED_START} for {FIXED}",
        examples=[0.2],
    )
    growth: Auto[Annotated[float, Field(gt=1, allow_inf_nan=False), NUMBER]] = Field(
        default=None, description=f"Factor of each growth of {FIXED}; auto: {GROWTH}", examples=[1.9]
    )
    every: Auto[Count] = Field(
        default=None,
        description=f"Steps from one growth of {FIXED} to the next; auto: so that all are in use at full_at",
        examples=[100],
    )
    hardness: Literal["none", "easy_to_hard"] = Field(
        default="none",
        description="Of the rows' own negatives, easy ones in the first third of the steps, semi-hard ones "
        "in the second, hard ones in the last",
    )
    semi_hard_margin: Positive = Field(
        default=0.1,
        description="A negative is easy from this far beyond its positive on, in cosine distance of the "
        "reference model; semi-hard within, hard where it is nearer than the positive",
    )
    reference: PathText = Field(
        default="base",
        description="Model that score and hardness ask: a folder, a Hub id, or base for the encoder itself "
        "as it is before training",
        examples=["base"],
    )

    @classmethod
    def from_short(cls, value: Any) -> Any:
        if isinstance(value, str) and value:
            return {"score": value}
        raise unexpected()

    @model_validator(mode="after")
    def _goes_together(self) -> CurriculumRecipe:
        fields = type(self).model_fields
        if self.pacing != FIXED:
            for key in ("growth", "every"):
                if getattr(self, key) is not None:
                    raise said(f"{key} goes with pacing {FIXED}, and not with {self.pacing}")
        if not self.paced:
            for key in ("order", "pacing", "full_at", "start"):
                if getattr(self, key) != fields[key].default:
                    raise said(f"{key} goes with a score to order rows by: give `score` as well")
        return self

    @property
    def paced(self) -> bool:
        """Whether rows come in an order."""
        return self.score is not None or self.order == "random"

    @property
    def asks_reference(self) -> bool:
        """Whether a reference model has to encode the training texts."""
        return self.hardness != "none" or (self.score == "reference" and self.order != "random")

    def decided(self) -> CurriculumRecipe:
        """With the values that pacing leaves open, but for ``every``, which the number of steps decides."""
        if not self.paced:
            return self
        fixed = self.pacing == FIXED
        changes: dict[str, Any] = {"start": self.start or (FIXED_START if fixed else START)}
        if fixed:
            changes["growth"] = self.growth or GROWTH
        return self.model_copy(update=changes)

    def pacing_over(self, steps: float) -> Pacing:
        """The pacing of a run of so many steps."""
        chosen = self.decided()
        return Pacing(
            self.pacing, steps, chosen.start or START, self.full_at, chosen.growth or GROWTH, self.every
        )
