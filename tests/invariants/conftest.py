"""Tiny random encoders of many architectures, made without any download."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    LlamaConfig,
    LlamaModel,
    MistralConfig,
    MistralModel,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

WORDS = 60
WIDTH = 24
LONGEST = 80
DECODERS = ("llama", "mistral")
ROBERTAS = ("roberta", "xlm-roberta", "mpnet")
CONFIGURATIONS: dict[str, tuple[type[PreTrainedConfig], type[PreTrainedModel]]] = {
    "bert": (BertConfig, BertModel),
    "roberta": (RobertaConfig, RobertaModel),
    "xlm-roberta": (XLMRobertaConfig, XLMRobertaModel),
    "distilbert": (DistilBertConfig, DistilBertModel),
    "mpnet": (MPNetConfig, MPNetModel),
    "modernbert": (ModernBertConfig, ModernBertModel),
    "llama": (LlamaConfig, LlamaModel),
    "mistral": (MistralConfig, MistralModel),
}


def _tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """Words at spaces; framed in special tokens, but for decoders, which see the bare words."""
    specials = ["<s>", "<pad>", "</s>", "<unk>"] if kind in ROBERTAS else ["<pad>", "<unk>", "<s>", "</s>"]
    vocabulary = {word: number for number, word in enumerate([*specials, *(f"w{n}" for n in range(WORDS))])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    if kind not in DECODERS:
        frame = [(token, vocabulary[token]) for token in ("<s>", "</s>")]
        # Types that an encoder does not take for granted, where it has some.
        single = "<s>:0 $A:1 </s>:1" if kind == "bert" else "<s> $A </s>"
        tokenizer.post_processor = TemplateProcessing(single, "<s> $A </s> $B:1 </s>:1", frame)
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if kind == "bert" else [])]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=LONGEST, model_input_names=inputs, **names
    )


def _configuration(kind: str, tokenizer: PreTrainedTokenizerFast, dropout: float) -> dict[str, Any]:
    shape = {
        "hidden_size": WIDTH,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "max_position_embeddings": LONGEST + 2,
    }
    drops = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    extra: dict[str, Any] = {
        "bert": drops,
        "roberta": {"type_vocab_size": 1, **drops},
        "xlm-roberta": {"type_vocab_size": 1, **drops},
        "mpnet": drops,
        "distilbert": {"hidden_dim": 40, "dropout": dropout, "attention_dropout": dropout},
        "modernbert": {
            "local_attention": 6,
            "global_attn_every_n_layers": 3,
            "attention_dropout": dropout,
            "mlp_dropout": dropout,
            "embedding_dropout": dropout,
            "cls_token_id": tokenizer.cls_token_id,
            "sep_token_id": tokenizer.sep_token_id,
        },
        "llama": {"num_key_value_heads": 2, "attention_dropout": dropout},
        "mistral": {"num_key_value_heads": 2, "sliding_window": 5, "attention_dropout": dropout},
    }[kind]
    # Random weights ten times as large as usual: attention and positions then matter.
    ids = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.2,
        **ids,
        **shape,
        **extra,
    }


def encoder_of(
    kind: str,
    folder: Path,
    *,
    pooling: Any = "mean",
    seed: int = 0,
    dropout: float = 0.0,
    attention: str | None = None,
    normalized: bool = False,
) -> SentenceTransformer:
    """An encoder of architecture ``kind`` with random weights, in fp32."""
    tokenizer = _tokenizer(kind)
    configuration, model = CONFIGURATIONS[kind]
    torch.manual_seed(seed)
    model(configuration(**_configuration(kind, tokenizer, dropout))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transformer = Transformer(
        str(folder), model_kwargs={"attn_implementation": attention} if attention else {}
    )
    head = Pooling(WIDTH, pooling)
    modules = [transformer, head, *([Normalize()] if normalized else [])]
    return SentenceTransformer(modules=modules, device="cpu")


@pytest.fixture
def make_encoder(tmp_path: Path) -> Callable[..., SentenceTransformer]:
    """Makes a random encoder of an architecture; arguments as of ``encoder_of`` without the folder."""
    made: list[SentenceTransformer] = []

    def make(kind: str, **parts: Any) -> SentenceTransformer:
        folder = tmp_path / f"encoder-{len(made)}"
        made.append(encoder_of(kind, folder, **parts))
        return made[-1]

    return make


@pytest.fixture(scope="session")
def word_texts() -> list[str]:
    """Texts of very different lengths: an empty one, some of one word, equal ones, equally long ones."""
    drawn = random.Random(5)
    lengths = [4, 1, 60, 0, 9, 9, 9, 2, 33, 1, 17, 60, 8]
    texts = [" ".join(f"w{drawn.randrange(WORDS)}" for _ in range(length)) for length in lengths]
    return [*texts, texts[4], texts[1]]
