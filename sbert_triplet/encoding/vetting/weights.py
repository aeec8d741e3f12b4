"""Whether the weights of a model are safetensors files inside its folder, with headers that can be true."""

from __future__ import annotations

import json
from typing import Any

from sbert_triplet.encoding.vetting.folder import ModelFolder, joined
from sbert_triplet.encoding.vetting.known import TRANSFORMERS
from sbert_triplet.encoding.vetting.modules import Part

LARGEST_HEADER = 100_000_000
"""Bytes; the safetensors format allows no more."""
_LENGTH = 8
"""Bytes in which a file says how long its header is."""
_INDEX = ".safetensors.index.json"
_WHOLE = ("model.safetensors", f"model{_INDEX}")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
PICKLED = (
    "it has no weights in the safetensors format; pickled ones are not read, because they can run code: "
    "load it where you trust it and save it again with SentenceTransformer.save"
)
_AGAIN = "get the file again"


def vet_weights(folder: ModelFolder, part: Part) -> None:
    """Raise ModelError where the part's weights are pickled, broken or outside of the folder."""
    # By the name that loaders look for, whose capitals not every file system minds.
    names = {name.casefold(): name for name in folder.names(part.path)}
    there = any(name in names for name in _WHOLE)
    pickled = [names[name] for name in _PICKLED if name in names]
    if part.kind in TRANSFORMERS and not (there or any(name.endswith(".safetensors") for name in names)):
        raise folder.refusal(part.path or "the folder", PICKLED)
    if part.kind and pickled and not there:
        raise folder.refusal(joined(part.path, pickled[0]), PICKLED)
    for written in folder.names(part.path):
        name = written.casefold()
        if name.endswith(_INDEX):
            _vet_index(folder, part.path, joined(part.path, written))
        elif name.endswith(".safetensors"):
            _vet_header(folder, joined(part.path, written))


def _vet_index(folder: ModelFolder, path: str, file: str) -> None:
    shards = folder.mapping(file).get("weight_map")
    if not isinstance(shards, dict):
        raise folder.refusal(file, "weight_map: the file of each weight is expected, by the weight's name")
    for shard in sorted({str(name) for name in shards.values()}):
        if not shard.endswith(".safetensors") or "/" in shard or "\\" in shard:
            raise folder.refusal(
                file,
                f"weight_map: {shard!r} is not the name of a safetensors file in the same folder; {_AGAIN}",
            )
        if not folder.has(joined(path, shard)):
            raise folder.refusal(file, f"weight_map: there is no file {shard}; {_AGAIN}")


def _vet_header(folder: ModelFolder, file: str) -> None:
    place = folder.root / file
    size = place.stat().st_size
    with place.open("rb") as opened:
        length = int.from_bytes(opened.read(_LENGTH), "little")
        if size < _LENGTH or length > min(size - _LENGTH, LARGEST_HEADER):
            raise folder.refusal(
                file,
                f"the header claims {length:,} bytes, of a file of {size:,} (at most {LARGEST_HEADER:,} are "
                f"allowed); {_AGAIN}",
            )
        text = opened.read(length)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise folder.refusal(file, f"the header is no JSON that can be read; {_AGAIN}") from error
    needed = _LENGTH + length + _end(header)
    if needed != size:
        raise folder.refusal(
            file, f"the header speaks of {needed:,} bytes, and the file has {size:,}; {_AGAIN}"
        )


def _end(header: Any) -> int:
    """Where the last tensor ends behind the header; -1 where the header does not say."""
    if not isinstance(header, dict):
        return -1
    ends = [0]
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        if not (isinstance(offsets, list) and len(offsets) == 2 and all(type(at) is int for at in offsets)):
            return -1
        ends.append(offsets[1])
    return max(ends)
