"""Sharded weights: what holds under torch's ``fully_shard``, and what is refused at the start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml
from sentence_transformers import SentenceTransformer
from torch import Tensor

from sbert_triplet.data.examples import Examples
from sbert_triplet.errors import InputError
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.training.sharding import PARTING, refuse_parted_encoder
from sbert_triplet.training.trainer import Trainer

CONFIGURATIONS = Path(__file__).resolve().parents[2] / "recipes" / "accelerate"
TwoProcesses = Callable[..., list[tuple[int, str]]]


@pytest.mark.long
def test_an_objective_over_a_sharded_encoder_has_the_gradients_of_one_process(
    two_processes: TwoProcesses,
    imported_script: Callable[[str], ModuleType],
    tmp_path: Path,
) -> None:
    """With gloo, the whole graph or a group's at a time, equally many groups in both processes."""
    script = imported_script("sharded_processes.py")
    alone: Mapping[str, dict[str, Tensor]] = script.everything(script.encoders(), 0, 1)
    for code, output in two_processes("sharded_processes.py", tmp_path):
        assert code == 0, output[-3000:]
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        assert int(found["cached"].pop("groups")) > 1
        for way, expected in alone.items():
            wanted = {name: tensor for name, tensor in expected.items() if name != "groups"}
            assert len(wanted) > 30
            for name, tensor in wanted.items():
                torch.testing.assert_close(found[way][name], tensor, atol=1e-12, rtol=0, msg=name)


@pytest.mark.parametrize("variable", PARTING)
def test_an_encoder_in_parts_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "true")
    with pytest.raises(InputError, match=r"launch with recipes/accelerate/several_gpus\.yaml"):
        refuse_parted_encoder()
    monkeypatch.setenv(variable, "false")
    refuse_parted_encoder()


def test_the_trainer_refuses_it(
    pairs: Examples,
    make_encoder: Callable[..., SentenceTransformer],
    make_trainer: Callable[..., Trainer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(InputError, match=r"sharded weights \(FSDP\)"):
        make_trainer(pairs, make_encoder(), MultipleNegativesRankingLoss())


@pytest.mark.parametrize("file", sorted(CONFIGURATIONS.glob("*.yaml")), ids=lambda file: str(file.stem))
def test_the_configurations_are_what_accelerate_reads(file: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    read = load_config_from_file(str(file))
    given = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert read.distributed_type.value == given["distributed_type"]
    assert read.num_processes >= 2
    assert read.mixed_precision == "no"  # the recipe decides
    header = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert any(f"--config_file recipes/accelerate/{file.name}" in line for line in header)


def test_there_is_one_for_each_way_of_launching() -> None:
    assert {file.stem for file in CONFIGURATIONS.glob("*.yaml")} == {
        "several_gpus",
        "several_machines",
        "sharded_weights",
        "two_processes_on_cpu",
    }
