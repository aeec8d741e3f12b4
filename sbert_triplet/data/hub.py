"""Tables from the Hugging Face Hub."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import datasets
import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils.tqdm import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

from sbert_triplet.data.cache import ran_out_of_space
from sbert_triplet.data.memory import pick_split
from sbert_triplet.data.redaction import redacted
from sbert_triplet.errors import DataError, MachineError

_SECONDS_TO_ANSWER = 10.0
_ID = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)"
    r"(?::(?P<config>[\w.+ -]+))?"
    r"(?:@(?P<revision>[\w./-]+))?"
    r"(?:\[(?P<split>[\w.-]+)\])?"
)


@dataclass(frozen=True)
class HubId:
    """``owner/name``, then what narrows it down: ``owner/name:config@revision[split]``."""

    name: str
    config: str | None = None
    revision: str | None = None
    split: str | None = None


def parse_hub_id(text: str) -> HubId | None:
    """The parts of ``owner/name``, ``:config``, ``@revision`` and ``[split]``; None if it is no such id."""
    found = _ID.fullmatch(text)
    return HubId(**found.groupdict()) if found else None


def load_hub(
    wanted: HubId, cache_dir: Path | None = None
) -> tuple[datasets.Dataset, str | None, tuple[str, ...]]:
    """One split of a data set on the Hub, its licence where the Hub names one, and what is worth telling.

    Without a split, ``train`` is loaded, or the only one there is. Where the Hub cannot be reached, the
    copy of an earlier load serves. Data sets that bring code of their own are refused by ``datasets``.

    Raises DataError when the data set, its configuration or its split cannot be had; MachineError for
    a full disk.
    """
    with _quiet():
        info, problem = _ask_hub(wanted)
        with contextlib.nullcontext() if info else _offline():
            splits = _load(wanted, cache_dir, problem)
        dataset = pick_split(splits, wanted.split, f"{wanted.name} on the Hub")
    if not len(dataset):
        raise DataError(f"{wanted.name} on the Hub: split {dataset.split} has no rows.")
    if info is None:
        return dataset, None, (f"split {dataset.split}", f"the copy on this machine, as {problem}")
    licence = info.card_data.get("license") if info.card_data else None
    return dataset, str(licence) if licence else None, (f"split {dataset.split}", f"revision {info.sha}")


def _ask_hub(wanted: HubId) -> tuple[huggingface_hub.DatasetInfo | None, str]:
    """What the Hub says of the data set; or None, and why it says nothing.

    Asked once and briefly before ``datasets`` is, which tries an unreachable Hub for half a minute.
    """
    api = huggingface_hub.HfApi()
    try:
        return api.dataset_info(wanted.name, revision=wanted.revision, timeout=_SECONDS_TO_ANSWER), ""
    except HfHubHTTPError as error:
        raise DataError(
            f"no file or folder {wanted.name}, and the Hub has no data set of that name (or not this "
            f"revision, or not for you): {_lines(error, 1)}. Check the spelling and the login."
        ) from error
    except Exception as error:  # the HTTP library behind the Hub's client is not part of its interface
        return None, f"the Hub cannot be reached ({_lines(error, 1)})"


def _load(wanted: HubId, cache_dir: Path | None, problem: str) -> datasets.DatasetDict:
    cache = None if cache_dir is None else str(cache_dir / "hub")
    try:
        return datasets.load_dataset(wanted.name, wanted.config, revision=wanted.revision, cache_dir=cache)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        if ran_out_of_space(error):
            raise MachineError(f"{wanted.name} on the Hub: no space left to keep it; make room.") from error
        if problem:
            raise DataError(
                f"no file or folder {wanted.name}; {problem}, and no earlier copy of a data set of that "
                "name is on this machine."
            ) from error
        raise DataError(
            f"{wanted.name} on the Hub: {_lines(error, 2)}. "
            "A configuration is named so: owner/name:config, or config: in a recipe."
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and warnings of ``datasets`` and ``huggingface_hub`` within the block."""
    bars, hub_bars = datasets.are_progress_bars_disabled(), are_progress_bars_disabled()
    verbosity = datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    disable_progress_bars()
    datasets.logging.set_verbosity_error()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        if not bars:
            datasets.enable_progress_bars()
        if not hub_bars:
            enable_progress_bars()


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """``datasets`` looks at its own copies only within the block."""
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _lines(error: Exception, count: int) -> str:
    lines = [line.strip() for line in redacted(str(error)).splitlines() if line.strip()]
    return " ".join(lines[:count])[:300].rstrip(".") or type(error).__name__
