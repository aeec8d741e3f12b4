"""The recipe: everything that decides a run, as typed and documented fields.

A key is added as one field of its section's class, here, in ``data`` or in ``training``. A
field that is ``Auto`` is None until the data, the encoder or the machine decides it, and is
written ``auto``.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from sbert_triplet.evaluation.metrics import parse_metric
from sbert_triplet.recipe.curriculum import CurriculumRecipe
from sbert_triplet.recipe.data import DataRecipe
from sbert_triplet.recipe.loss import LossRecipe
from sbert_triplet.recipe.losses import LossPart
from sbert_triplet.recipe.mine import MineRecipe
from sbert_triplet.recipe.section import Section
from sbert_triplet.recipe.training import TrainRecipe
from sbert_triplet.recipe.values import (
    NUMBER,
    WHOLE,
    Auto,
    Expected,
    FilledText,
    Flag,
    Names,
    OneOrMany,
    PathText,
    ShareOrRows,
    Text,
    said,
    unexpected,
)

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
FOLDER_NAME = re.compile(r'[^\s.\\/:*?"<>|\x00-\x1f]([^\\/:*?"<>|\x00-\x1f]*[^\s.\\/:*?"<>|\x00-\x1f])?')


def _folder_name(value: Any) -> str:
    if isinstance(value, str) and len(value) <= 100 and FOLDER_NAME.fullmatch(value):
        return value
    raise unexpected()


def _metric(value: Any) -> str:
    if not isinstance(value, str):
        raise unexpected()
    try:
        return parse_metric(value).name
    except ValueError as error:
        raise said(str(error)) from None


FolderName = Annotated[str, Expected("a name that a folder can have on every system", _folder_name)]
MetricName = Annotated[str, Expected("the name of a metric", _metric)]


class Prompts(Section):
    """Texts put before every query and every document."""

    query: Auto[Text] = Field(
        default=None, description="Put before every query; auto: the model's own", examples=["query: "]
    )
    document: Auto[Text] = Field(
        default=None, description="Put before every document; auto: the model's own", examples=["passage: "]
    )


class EvaluateRecipe(Section):
    """What shows whether it got better."""

    metrics: Annotated[tuple[MetricName, ...], OneOrMany()] = Field(
        default=(),
        description="Metrics, the main one first; none: those of the kind of data",
        examples=[["nDCG@10", "RR@10", "R@100"]],
    )
    dev: ShareOrRows = Field(default=0.1, description="Held out for dev: a share, or a number of rows")
    test: ShareOrRows = Field(default=0.1, description="Held out for test: a share, or a number of rows")
    suite: FilledText | None = Field(
        default=None,
        description="Measure base and tuned model on a suite too: one that comes with the package, by its "
        "name, or a YAML file",
        examples=["sts"],
    )
    slices: Names = Field(default=(), description="Columns to show results by", examples=["language"])
    bm25: Flag = Field(default=True, description="BM25 as a third row beside base and tuned (retrieval)")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="Of the embeddings; auto: fp32, or as in training where there are over 500,000 tokens",
    )
    general: Flag = Field(
        default=True, description="Check besides what the model unlearned of everyday topics"
    )
    same_precision: Annotated[float, Field(gt=0, le=1), NUMBER] = Field(
        default=0.9,
        description="Precision wanted of the similarity from which on two texts are taken as the same; that "
        "cut is chosen on dev and saved with the model",
        examples=[0.95],
    )
    learning_curve: Flag = Field(
        default=False,
        description="Train also on 25 and 50 % of the rows, and compare: would more data help?",
    )

    @model_validator(mode="after")
    def _rows_remain(self) -> EvaluateRecipe:
        if isinstance(self.dev, float) and isinstance(self.test, float) and self.dev + self.test >= 1:
            raise said(
                f"dev {self.dev} and test {self.test} leave no rows to train on: keep their sum below 1"
            )
        return self


class Recipe(Section):
    """One run: the data, the encoder, the loss, the training and the evaluation.

    ``Recipe(data="tickets.csv", train={"epochs": 2})``: a section can be given as a mapping, and
    ``data.train`` as a ``datasets.Dataset`` or a list of mappings. Raises RecipeError.
    """

    wanted: ClassVar[str] = "keys and values, such as `model:` and `data:`"

    name: FolderName | None = Field(
        default=None,
        description="Name of the run folder; else that of the recipe's file",
        examples=["tickets"],
    )
    model: PathText = Field(
        default=DEFAULT_MODEL,
        description="Encoder to start from: a folder or a Hub id",
        examples=["runs/first/model"],
    )
    max_length: Auto[Annotated[int, Field(ge=3), WHOLE]] = Field(
        default=None, description="Tokens after which a text is cut; auto: the encoder's own", examples=[256]
    )
    prompts: Prompts = Field(default_factory=Prompts, description="Texts put before queries and documents")
    data: DataRecipe = Field(description="What is trained and evaluated on")
    mine: MineRecipe = Field(
        default_factory=MineRecipe,
        description="Negatives that are found before training, and anew while it goes on",
    )
    loss: LossRecipe = Field(
        default_factory=LossRecipe, description="What is minimised; auto: chosen from the kind of data"
    )
    losses: tuple[LossPart, ...] = Field(
        default=(),
        description="In place of `loss`, several: each with a weight, and with rows of its own or none",
    )
    curriculum: CurriculumRecipe = Field(
        default_factory=CurriculumRecipe, description="Which rows and which negatives come first"
    )
    train: TrainRecipe = Field(default_factory=TrainRecipe, description="How it is trained")
    evaluate: EvaluateRecipe = Field(
        default_factory=EvaluateRecipe, description="What shows whether it got better"
    )

    @model_validator(mode="after")
    def _loss_or_losses(self) -> Recipe:
        if self.losses and self.loss.name is not None:
            raise said("loss and losses: give one of them")
        return self

    @property
    def loss_names(self) -> str:
        """The losses of the run in words."""
        return " + ".join(str(part.loss.name) for part in self.losses) or str(self.loss.name)
