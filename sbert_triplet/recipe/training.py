"""What a recipe says about training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sbert_triplet.recipe.section import Section
from sbert_triplet.recipe.values import (
    NUMBER,
    WHOLE,
    Auto,
    Count,
    Flag,
    Freeze,
    NotNegative,
    OneOrMany,
    Positive,
    ShareOrSteps,
)

Tracker = Literal[
    "azure_ml",
    "clearml",
    "codecarbon",
    "comet_ml",
    "dagshub",
    "dvclive",
    "flyte",
    "mlflow",
    "neptune",
    "swanlab",
    "tensorboard",
    "trackio",
    "wandb",
]
"""Experiment trackers that transformers reports to."""


class TrainRecipe(Section):
    """How it is trained."""

    epochs: Auto[Positive] = Field(default=None, description="Passes over the rows", examples=[1, 0.5])
    max_steps: Count | None = Field(default=None, description="At most this many steps", examples=[500])
    max_seconds: Positive | None = Field(
        default=None,
        description="At most this long, turned into steps after a short measurement",
        examples=[600],
    )
    batch_size: Auto[Count] = Field(
        default=None, description="Rows of a step, over all processes together", examples=[64, 128]
    )
    learning_rate: Auto[Annotated[float, Field(gt=0, le=1), NUMBER]] = Field(
        default=None, description="Highest learning rate", examples=[2e-5]
    )
    schedule: Literal["linear", "cosine", "constant", "inverse_sqrt"] = Field(
        default="linear", description="How the learning rate goes on after the warmup"
    )
    warmup: ShareOrSteps = Field(
        default=0.1,
        description="Rise of the learning rate: a share of the steps, or a number of steps",
        examples=[0.1, 100],
    )
    weight_decay: NotNegative = Field(default=0.01, description="Decay of the weights")
    max_grad_norm: Positive | None = Field(default=1.0, description="Gradients are clipped to this norm")
    freeze: Freeze = Field(
        default=(),
        description="Not trained: `embeddings`, a number of lowest layers, patterns of names, `encoder`",
        examples=["embeddings", 3, ["embeddings", "*.layer.0.*"]],
    )
    patience: Count | None = Field(
        default=None, description="Stop after this many evaluations without a gain on dev", examples=[3]
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="auto: bf16 where it is supported and measured faster"
    )
    group_tokens: Auto[Count] = Field(
        default=None,
        description="Tokens of one forward pass at most (a longer text alone); auto: as suits the device",
        examples=[2048],
    )
    chunk_tokens: Auto[Annotated[int, Field(ge=0), WHOLE]] = Field(
        default=None,
        description="Tokens whose graph is kept at a time, so that a batch of any size fits (each text is "
        "encoded twice then); 0: those of the whole batch; auto: 0 where that fits in memory",
        examples=[8192],
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1), WHOLE] = Field(
        default=13, description="Seed of every choice"
    )
    deterministic: Flag = Field(
        default=False, description="Bit-identical weights on a GPU too, at some cost (always so on the CPU)"
    )
    eval_steps: Auto[Count] = Field(default=None, description="Steps from one evaluation on dev to the next")
    save_steps: Auto[Count] = Field(default=None, description="Steps from one checkpoint to the next")
    keep: Count = Field(default=2, description="Checkpoints to keep, beside that of the best score on dev")
    max_bad_steps: Annotated[int, Field(ge=0), WHOLE] = Field(
        default=10,
        description="Steps that may be left out because a number in them is not finite, before the run ends",
    )
    never_worse: Flag = Field(
        default=True,
        description="Search the line between base and tuned weights on dev, and ship its best point, or the "
        "base model where that is not shown better",
    )
    report_to: Annotated[tuple[Tracker, ...], OneOrMany()] = Field(
        default=(), description="Experiment trackers", examples=["tensorboard"]
    )
