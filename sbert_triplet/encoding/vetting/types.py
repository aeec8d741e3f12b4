"""The models of transformers that a folder may ask for: those that encode text, and CLIP's two halves.

``model_type`` chooses a class of transformers. Some of those hand on what else the configuration says to
other libraries (timm's loader unpickles a file that it is told of), so that only known ones are taken.
"""

from __future__ import annotations

from transformers.models.auto import modeling_auto

_TEXT = (
    "TEXT_ENCODING",
    "MASKED_LM",
    "CAUSAL_LM",
    "SEQ_TO_SEQ_CAUSAL_LM",
    "SEQUENCE_CLASSIFICATION",
    "TOKEN_CLASSIFICATION",
)
_OTHER = (
    "AUDIO_CLASSIFICATION",
    "BACKBONE",
    "DOCUMENT_QUESTION_ANSWERING",
    "IMAGE",
    "IMAGE_TEXT_TO_TEXT",
    "MULTIMODAL_LM",
    "SPEECH_SEQ_2_SEQ",
    "TEXT_TO_WAVEFORM",
)
_HALVES = ("_text", "_text_model")
"""How the text halves of multimodal models are called."""
_SPEECH = "speech_to_text"
_ENCODING_BESIDE = frozenset(
    {
        "clip",
        "clip_text_model",
        "clip_vision_model",
        "dpr",
        "embedding_gemma2",
        "gemma4_audio",
        "gemma4_vision",
        "layoutlm",
        "mistral4",
    }
)
"""Sound encoders, and their parts, that the tasks above do not tell from others."""


def _of(*tasks: str) -> set[str]:
    tables = (getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES", {}) for task in tasks)
    return {name for table in tables for name in table}


def _text_models() -> frozenset[str]:
    halves = {
        name
        for name in modeling_auto.MODEL_MAPPING_NAMES
        if name.endswith(_HALVES) and not name.endswith(_SPEECH)
    }
    return frozenset((_of(*_TEXT) - _of(*_OTHER)) | halves | _ENCODING_BESIDE)


TEXT_MODELS = _text_models()
"""Every ``model_type`` that is taken, of the installed transformers."""


def model_type(value: object) -> str | None:
    """What is wrong with a ``model_type``; None where it is one of a model that encodes text."""
    if isinstance(value, str) and value in TEXT_MODELS:
        return None
    return (
        f"{value!r} is no text encoder that transformers has, and nothing else is loaded; take another model"
    )
