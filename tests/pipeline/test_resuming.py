"""A run that was stopped ends as one that never was; another run is told from it."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from torch import Tensor

from sbert_triplet.errors import DivergedError, GainNotShownError, InputError, MachineError
from sbert_triplet.pipeline.folder import RunFolder
from sbert_triplet.training.checkpoints import steps_of
from sbert_triplet.training.manifest import seal
from sbert_triplet.training.trainer import Trainer

if TYPE_CHECKING:
    from tests.pipeline.conftest import Finished, Rows, Tables, Train

STEPS, SAVED, STOPPED = 11, 3, 8
TRAIN = {"max_steps": STEPS, "save_steps": SAVED, "epochs": 9, "batch_size": 8, "precision": "fp32"}
"""With a precision: which one is faster is measured, and may be found otherwise another time."""
LEFT = [3, 6]
"""The checkpoints of a run that is stopped in its eighth step."""


class StopError(Exception):
    """In the place of whatever ends a run without asking it."""


@pytest.fixture
def train(train: Train, tiny_folder: Path) -> Train:
    """As ``train``, with as many steps as are asked for, which ``smoke`` does not give."""
    return functools.partial(train, smoke=False, model=str(tiny_folder))


@pytest.fixture
def stopped_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Has training fail when the step of that number, from 1, begins; 0 for never."""
    plain = Trainer.training_step

    def stopped_in(number: int) -> None:
        def step(self: Trainer, *given: Any, **named: Any) -> Tensor:
            if self.state.global_step + 1 == number:
                raise StopError
            return plain(self, *given, **named)

        monkeypatch.setattr(Trainer, "training_step", step)

    return stopped_in


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for name in ("candidate", "model")
        for file in sorted((folder / name).rglob("*.safetensors"))
    }


def figures(finished: Finished) -> dict[str, Any]:
    """The report without times."""
    kept = ("metrics", "verdict", "sentence", "shipped", "weight_line", "general", "task")
    train = {key: finished.report["train"][key] for key in ("steps", "loss_first", "loss_last", "best_step")}
    return {**{key: finished.report.get(key) for key in kept}, **train}


def losses(folder: Path) -> dict[int, float]:
    """By step; where a step was made twice, the later line."""
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {entry["step"]: entry["loss"] for entry in entries if "loss" in entry}


def scored(tables: Tables) -> Rows:
    return [
        {"text1": tables.question(n), "text2": tables.answer(n + n % 3), "score": (n % 5) / 4}
        for n in range(60)
    ]


KINDS: dict[str, tuple[Callable[[Tables], Rows], dict[str, Any]]] = {
    "pairs": (lambda tables: tables.pairs(), {}),
    "labels": (lambda tables: tables.labelled(), {}),
    "scores": (scored, {}),
    "best on dev": (
        lambda tables: tables.pairs(90),
        {"train": {"eval_steps": 2, "patience": 3, "learning_rate": 0.01}, "evaluate": {"dev": 0.2}},
    ),
    "curriculum": (lambda tables: tables.labelled(), {"curriculum": {"order": "curriculum"}}),
    "negatives mined anew": (
        lambda tables: tables.pairs(),
        {"mine": {"negatives": 1, "refresh": 2}, "train": {"eval_steps": 4}},
    ),
    "momentum encoder": (lambda tables: tables.pairs(), {"loss": {"name": "moco", "queue_size": 32}}),
    "learned metric": (
        lambda tables: tables.labelled(),
        {
            "loss": {
                "name": "triplet",
                "distance": {"name": "mahalanobis", "form": "diagonal"},
                "margin": 0.3,
                "miner": "all",
            }
        },
    ),
    "gradient cache": (lambda tables: tables.pairs(), {"train": {"chunk_tokens": 64}}),
    "bf16": (lambda tables: tables.pairs(), {"train": {"precision": "bf16"}}),
}


SHORT = ("best on dev", "negatives mined anew", "momentum encoder")


@pytest.mark.parametrize(
    "kind", [kind if kind in SHORT else pytest.param(kind, marks=pytest.mark.long) for kind in KINDS]
)
def test_a_resumed_run_ends_bit_for_bit_like_one_that_was_never_stopped(
    kind: str, tables: Tables, train: Train, stopped_in: Callable[[int], None]
) -> None:
    rows, sections = KINDS[kind]
    data = tables.write("rows.jsonl", rows(tables))
    sections = {**sections, "train": {**TRAIN, **sections.get("train", {})}}
    whole = train(data, "whole", **sections)
    stopped_in(STOPPED)
    with pytest.raises(StopError):
        train(data, "stopped", **sections)
    assert steps_of(Path("stopped/checkpoints")) == LEFT
    assert not (Path("stopped") / "report.json").exists()
    stopped_in(0)
    resumed = train(data, "stopped", resume=True, **sections)
    assert "Going on after step 6, from stopped/checkpoints/checkpoint-6" in resumed.said
    assert digests(Path("stopped")) == digests(Path("whole")) != {}
    assert figures(resumed) == figures(whole)
    assert losses(Path("stopped")) == losses(Path("whole"))


@pytest.fixture
def stopped(tables: Tables, train: Train, stopped_in: Callable[[int], None]) -> str:
    """The data of a run in ``out`` that was stopped after its sixth step."""
    data = tables.write("rows.csv", tables.pairs())
    stopped_in(STOPPED)
    with pytest.raises(StopError):
        train(data, train=TRAIN)
    stopped_in(0)
    return data


def test_after_the_last_step_nothing_is_trained_again(
    tables: Tables, train: Train, stopped_in: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was stopped while it was measured goes on with measuring."""
    data = tables.write("rows.csv", tables.pairs())
    whole = train(data, "whole", train=TRAIN)
    module = "sbert_triplet.pipeline.job.gather_evidence"
    with monkeypatch.context() as patched:
        patched.setattr(module, lambda *_, **__: (_ for _ in ()).throw(StopError()))
        with pytest.raises(StopError):
            train(data, train=TRAIN)
    assert steps_of(Path("out/checkpoints"))[-1] == STEPS
    stopped_in(1)
    resumed = train(data, train=TRAIN, resume=True)
    assert digests(Path("out")) == digests(Path("whole"))
    assert figures(resumed) == figures(whole)


def test_a_damaged_checkpoint_is_passed_over_and_named(stopped: str, train: Train) -> None:
    whole = train(stopped, "whole", train=TRAIN)
    file = Path("out/checkpoints/checkpoint-6/optimizer.pt")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    resumed = train(stopped, train=TRAIN, resume=True)
    assert "checkpoint-6 is passed over: optimizer.pt is damaged: its SHA-256 is another" in resumed.text
    assert "Going on after step 3, from out/checkpoints/checkpoint-3" in resumed.said
    assert digests(Path("out")) == digests(Path("whole"))
    assert figures(resumed) == figures(whole)


def test_a_run_without_any_whole_checkpoint_is_refused(stopped: str, train: Train) -> None:
    for step in LEFT:
        (Path("out/checkpoints") / f"checkpoint-{step}" / "manifest.json").unlink()
    with pytest.raises(
        InputError, match=r"no checkpoint is whole \(checkpoint-6: manifest\.json is missing\)"
    ):
        train(stopped, train=TRAIN, resume=True)


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (
            {},
            r"its manifest does not hold the recipe of the run; remove out/checkpoints/checkpoint-6 to go on",
        ),
        ({"asked": [], "recipe": "data: x"}, "its manifest does not hold the recipe of the run; "),
        ({"asked": {}, "recipe": ["data: x"]}, "its manifest does not hold the recipe of the run; "),
        ({"asked": {}, "recipe": ""}, r"the recipe in its manifest cannot be read \(recipe: is empty; "),
        ({"asked": {}, "recipe": "data: [x"}, r"the recipe in its manifest cannot be read \(recipe"),
    ],
)
def test_a_checkpoint_that_no_run_wrote_is_named(
    stopped: str, train: Train, run: dict[str, Any], why: str
) -> None:
    folder = Path("out/checkpoints/checkpoint-6")
    (folder / "manifest.json").unlink()
    seal(folder, 6, run)
    with pytest.raises(InputError, match=f"^{folder}: {why}") as caught:
        train(stopped, train=TRAIN, resume=True)
    assert tempfile.gettempdir() not in str(caught.value)


def test_a_changed_recipe_is_refused_with_the_keys_that_differ(stopped: str, train: Train) -> None:
    with pytest.raises(InputError) as caught:
        train(stopped, train={**TRAIN, "learning_rate": 0.001, "schedule": "cosine"}, resume=True)
    assert str(caught.value) == (
        "out: this run was begun otherwise: train.learning_rate was auto and is 0.001; train.schedule was "
        "linear and is cosine. Put it back, begin anew with --overwrite, or go on all the same with --force"
    )
    assert steps_of(Path("out/checkpoints")) == LEFT
    forced = train(stopped, train={**TRAIN, "schedule": "cosine"}, resume=True, force=True)
    assert forced.report["train"]["steps"] == STEPS


def test_keys_that_change_no_weight_may_differ(stopped: str, train: Train) -> None:
    resumed = train(stopped, train={**TRAIN, "keep": 5, "save_steps": 1}, resume=True)
    assert steps_of(Path("out/checkpoints")) == [3, 6, 7, 8, 9, 10, 11][-5:]
    assert resumed.report["train"]["steps"] == STEPS


def test_changed_data_are_refused(stopped: str, tables: Tables, train: Train) -> None:
    rows = tables.pairs()
    tables.write(stopped, [*rows[:-1], {**rows[-1], "answer": "another answer"}])
    with pytest.raises(InputError, match="the rows of the data changed since the run was begun"):
        train(stopped, train=TRAIN, resume=True)
    assert steps_of(Path("out/checkpoints")) == LEFT


def test_data_that_lie_elsewhere_are_the_same(stopped: str, train: Train) -> None:
    Path("moved").mkdir()
    moved = str(Path(stopped).rename(Path("moved") / "rows.csv"))
    resumed = train(moved, train=TRAIN, resume=True)
    assert "Going on after step 6" in resumed.text


def test_a_stopped_run_is_not_begun_anew_by_mistake(stopped: str, train: Train) -> None:
    with pytest.raises(InputError) as caught:
        train(stopped, train=TRAIN)
    assert str(caught.value) == (
        "out: holds a run that was stopped, with a checkpoint of step 6: go on with --resume, name another "
        "folder with --out, or give --overwrite to begin anew"
    )
    anew = train(stopped, train=TRAIN, overwrite=True)
    assert "Going on" not in anew.text


def test_without_a_checkpoint_the_run_begins_with_the_first_step(tables: Tables, train: Train) -> None:
    data = tables.write("rows.csv", tables.pairs())
    begun = train(data, train=TRAIN, resume=True)
    assert "No checkpoint in out: the run begins with the first step" in begun.said


def test_a_finished_run_has_nothing_left_to_do(tables: Tables, train: Train) -> None:
    data = tables.write("rows.csv", tables.pairs())
    first = train(data, train=TRAIN)
    before = digests(Path("out"))
    again = train(data, train=TRAIN, resume=True)
    assert again.said == ["out: this run is finished, nothing is left to do"]
    assert again.report == json.loads(json.dumps(first.report))
    assert digests(Path("out")) == before


def test_a_finished_run_is_told_from_another_recipe_and_other_rows(tables: Tables, train: Train) -> None:
    data = tables.write("rows.csv", tables.pairs())
    few = {**TRAIN, "max_steps": 2}
    train(data, train=few)
    with pytest.raises(InputError, match=r"train\.learning_rate was auto and is 0\.01"):
        train(data, train={**few, "learning_rate": 0.01}, resume=True)
    tables.write("rows.csv", tables.pairs(70))
    with pytest.raises(InputError, match="out: the rows of the data changed since the run was begun"):
        train(data, train=few, resume=True)
    forced = train(data, train=few, resume=True, force=True)
    assert forced.said == ["out: this run is finished, nothing is left to do"]


def test_a_finished_run_without_its_page_gets_it_and_its_gate_is_asked_again(
    tables: Tables, train: Train
) -> None:
    data = tables.write("rows.csv", tables.pairs())
    few = {**TRAIN, "max_steps": 2, "learning_rate": 1e-9}
    train(data, train=few, drawn=True)
    page = Path("out") / "report.html"
    page.unlink()
    train(data, train=few, resume=True, drawn=True)
    assert page.is_file()
    with pytest.raises(GainNotShownError):
        train(data, train=few, resume=True, require_gain=True)


def test_a_run_that_was_replacing_a_finished_one_begins_again_where_it_has_no_checkpoint(
    tables: Tables, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tables.write("rows.csv", tables.pairs())
    few = {**TRAIN, "max_steps": 2}
    train(data, train=few)
    other = {**few, "learning_rate": 0.01}
    with monkeypatch.context() as killed:
        killed.setattr(RunFolder, "leave", lambda _: None)
        killed.setattr("sbert_triplet.pipeline.job.train", stopped_at_once)
        with pytest.raises(StopError):
            train(data, train=other, overwrite=True)
    resumed = train(data, train=other, resume=True)
    assert resumed.report["train"]["learning_rate"] == 0.01
    assert not (Path("out") / ".replaced").exists()


def stopped_at_once(*_: Any, **__: Any) -> None:
    raise StopError


def test_the_base_model_is_told_by_its_settings_too(
    tables: Tables, train: Train, tiny_folder: Path, tmp_path: Path, stopped_in: Callable[[int], None]
) -> None:
    data, model = tables.write("rows.csv", tables.pairs()), tmp_path / "model"
    shutil.copytree(tiny_folder, model)
    stopped_in(STOPPED)
    with pytest.raises(StopError):
        train(data, train=TRAIN, model=str(model))
    stopped_in(0)
    (file,) = model.glob("*_Pooling/config.json")
    pooling = json.loads(file.read_text(encoding="utf-8"))
    assert pooling["pooling_mode"] == "mean"
    file.write_text(json.dumps({**pooling, "pooling_mode": "max"}), encoding="utf-8")
    with pytest.raises(InputError, match="the model to start from changed"):
        train(data, train=TRAIN, model=str(model), resume=True)


def test_a_run_that_was_replacing_a_finished_one_goes_on(
    tables: Tables, train: Train, stopped_in: Callable[[int], None]
) -> None:
    data = tables.write("rows.csv", tables.pairs())
    other = {**TRAIN, "learning_rate": 0.01}
    train(data, train=TRAIN)
    whole = train(data, "whole", train=other)
    stopped_in(STOPPED)
    with pytest.raises(StopError):
        train(data, train=other, overwrite=True)
    stopped_in(0)
    resumed = train(data, train=other, resume=True)
    assert figures(resumed) == figures(whole)
    assert digests(Path("out")) == digests(Path("whole"))
    assert not (Path("out") / ".replaced").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resume": True, "overwrite": True}, "--resume and --overwrite: give one of them"),
        ({"force": True}, "--force: goes with --resume"),
    ],
)
def test_options_that_do_not_go_together(
    options: dict[str, bool], message: str, tables: Tables, train: Train
) -> None:
    with pytest.raises(InputError, match=message):
        train(tables.write("rows.csv", tables.pairs()), **options)


def test_a_second_run_on_one_folder_is_refused(stopped: str, train: Train) -> None:
    """The other one is another process, which the system lets go of the folder when it is gone."""
    script = (
        "import sys, pathlib; from sbert_triplet.pipeline.folder import RunFolder\n"
        "with RunFolder(pathlib.Path('out')).alone(): print('in', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "in\n"
    try:
        with pytest.raises(InputError, match="out: another run is writing here; wait until it has ended"):
            train(stopped, train=TRAIN, resume=True)
    finally:
        other.kill()
        other.communicate()
    assert "Going on after step 6" in train(stopped, train=TRAIN, resume=True).text


def test_the_folder_is_let_go_of_in_the_end(tmp_path: Path) -> None:
    for _ in range(2):
        with RunFolder(tmp_path).alone():
            pass


def test_a_run_with_too_many_bad_steps_ends_with_the_last_good_checkpoint(
    tables: Tables, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "_get_grad_norm", _spoiled(Trainer._get_grad_norm, 4))
    data = tables.write("rows.csv", tables.pairs())
    with pytest.raises(DivergedError) as caught:
        train(data, train={**TRAIN, "max_bad_steps": 3})
    assert str(caught.value).startswith("step 8, data rows ")
    assert "one more than train.max_bad_steps allows (3) after 3 steps that were left out" in str(
        caught.value
    )
    assert "The last good checkpoint is that of step 6 (out/checkpoints/checkpoint-6)" in str(caught.value)


def _spoiled(plain: Callable[..., Tensor], after: int) -> Callable[..., Tensor]:
    def norm(self: Trainer, *given: Any, **named: Any) -> Tensor:
        if self.state.global_step >= after:
            self._bad = "the loss is nan"
        return plain(self, *given, **named)

    return norm


def test_a_full_disk_ends_the_run_and_keeps_what_there_is(
    tables: Tables, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Trainer._save_optimizer_and_scheduler

    def save(self: Trainer, folder: str) -> None:
        if self.state.global_step == 6:
            raise OSError(28, "No space left on device")
        plain(self, folder)

    data = tables.write("rows.csv", tables.pairs())
    whole = train(data, "whole", train=TRAIN)
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_save_optimizer_and_scheduler", save)
        with pytest.raises(
            MachineError, match=r"the checkpoint of step 6 could not be written .*No space left"
        ):
            train(data, train=TRAIN)
    assert steps_of(Path("out/checkpoints")) == [3]
    resumed = train(data, train=TRAIN, resume=True)
    assert figures(resumed) == figures(whole)


def test_damaged_checkpoints_never_stand_in_the_way_of_good_ones(
    stopped: str, train: Train, stopped_in: Callable[[int], None]
) -> None:
    (Path("out/checkpoints/checkpoint-6") / "model.safetensors").write_bytes(b"")
    (Path("out/checkpoints/checkpoint-99999")).mkdir()
    stopped_in(6)
    with pytest.raises(StopError):
        train(stopped, train={**TRAIN, "save_steps": 1}, resume=True)
    assert steps_of(Path("out/checkpoints")) == [4, 5]


def test_a_run_without_any_good_step_is_not_finished_by_resuming_it(
    tables: Tables, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "_get_grad_norm", _spoiled(Trainer._get_grad_norm, 0))
    data = tables.write("rows.csv", tables.pairs())
    for resume in (False, True):
        with pytest.raises(DivergedError, match="All 11 steps were left out") as caught:
            train(data, train={**TRAIN, "max_bad_steps": 20}, resume=resume)
        assert "--resume" not in str(caught.value)
        assert "begin anew with --overwrite" in str(caught.value)


def test_what_is_forced_is_used_and_told(stopped: str, train: Train) -> None:
    changed = {**TRAIN, "learning_rate": 1e-6, "chunk_tokens": 32}
    forced = train(stopped, train=changed, resume=True, force=True)
    keys = ["train.chunk_tokens", "train.learning_rate"]
    assert (
        "note     --force: from step 7 on with other train.chunk_tokens, train.learning_rate" in forced.said
    )
    assert forced.report["train"]["forced"] == [{"step": 6, "keys": keys}]
    entries = [json.loads(line) for line in Path("out/log.jsonl").read_text().splitlines()]
    rates = {entry["step"]: entry["learning_rate"] for entry in entries if "loss" in entry}
    # One step of warm-up, then down to nothing in ten; the rate is that of the step itself.
    assert rates[7] == pytest.approx(1e-6 * 5 / 10)
    assert rates[11] == pytest.approx(1e-6 * 1 / 10)


@pytest.mark.parametrize(
    ("settings", "sections", "message"),
    [
        ({"freeze": ["embeddings"]}, {}, r"out: train\.freeze cannot be changed with --force"),
        ({"max_steps": 5}, {}, r"checkpoint-6: train\.max_steps, .* asks for 5, and 6 are made already"),
        (
            {},
            {"loss": {"name": "moco", "queue_size": 32}},
            r"objective\.safetensors is missing.*loss, losses",
        ),
    ],
    ids=["freeze", "fewer steps", "loss"],
)
def test_what_cannot_be_forced_is_refused_by_name(
    settings: dict[str, Any], sections: dict[str, Any], message: str, stopped: str, train: Train
) -> None:
    with pytest.raises(InputError, match=message):
        train(stopped, train={**TRAIN, **settings}, resume=True, force=True, **sections)
    assert steps_of(Path("out/checkpoints")) == LEFT
