"""Tokens of texts are those of the library's own preprocessing, whatever the tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, Router
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, PythonBackend

from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.encoding.tokenise import Tokeniser

CORPUS = ["the cat sat on the mat", "how do I reset my password?", "Ünïcode € 3.14", "long long red blue"] * 4
TEXTS = [
    "the cat sat on the mat",
    "",
    "mat",
    "  white   space\tand\nlines  ",
    "long " * 80,
    "THE Password of the CAT",
    "a special </s> in [SEP] the text",
    "Ünïcode €, 中文 and \U0001f600",
    "red",
]
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def framed(tokenizer: Tokenizer, template: str) -> None:
    names = {name for name in ("<s>", "</s>") if name in template}
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(name, tokenizer.token_to_id(name)) for name in sorted(names)]
    )


def byte_pairs(template: str | None) -> PreTrainedTokenizerFast:
    """Pieces of bytes, as of RoBERTa and of decoders."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "<pad>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS, trainer)
    if template is not None:
        framed(tokenizer, template)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_max_length=32,
        model_input_names=["input_ids", "attention_mask"],
    )


def pieces_with_spaces(template: str) -> PreTrainedTokenizerFast:
    """Unigram pieces that hold their spaces, as of XLM-RoBERTa and T5."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    framed(tokenizer, template)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=32,
        padding_side="left",
    )


class Characters(PythonBackend):
    """A tokenizer written in Python: one token a character."""

    def __init__(self, characters: str = " abcdehilnoprstuw?", **options: Any) -> None:
        self._numbers = {"<pad>": 0, "<unk>": 1, **{one: place + 2 for place, one in enumerate(characters)}}
        super().__init__(characters=characters, pad_token="<pad>", unk_token="<unk>", **options)

    @property
    def vocab_size(self) -> int:
        return len(self._numbers)

    def get_vocab(self) -> dict[str, int]:
        return {**self._numbers, **self.added_tokens_encoder}

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        return list(text)

    def _convert_token_to_id(self, token: str) -> int:
        return self._numbers.get(token, 1)

    def _convert_id_to_token(self, index: int) -> str:
        return list(self._numbers)[index]


TOKENIZERS: dict[str, Callable[[], Any]] = {
    "bert": lambda: tiny_encoder(CORPUS, max_length=32).tokenizer,
    "roberta": lambda: byte_pairs("<s> $A </s>"),
    "decoder": lambda: byte_pairs(None),
    "xlm-roberta": lambda: pieces_with_spaces("<s> $A </s>"),
    "t5": lambda: pieces_with_spaces("$A </s>"),
    "python": lambda: Characters(model_max_length=32),
}


@pytest.fixture(params=TOKENIZERS)
def model(request: pytest.FixtureRequest) -> SentenceTransformer:
    """A model of which only the tokenizer matters."""
    return with_tokenizer(TOKENIZERS[request.param]())


def with_tokenizer(tokenizer: Any) -> SentenceTransformer:
    encoder = tiny_encoder(CORPUS, max_length=32)
    encoder[0].processor = tokenizer
    return encoder


def assert_as_the_library(
    model: SentenceTransformer, texts: list[str], prompt: str | None = None, task: str | None = None
) -> None:
    """Compared text by text, which needs no padding."""
    found = Tokeniser(model, prompt, task)(texts)
    ends = np.cumsum(found.lengths)
    assert found.tokens.dtype == np.int32
    assert len(found.tokens) == ends[-1]
    for text, start, end, full in zip(texts, ends - found.lengths, ends, found.full_lengths, strict=True):
        expected = model.preprocess([text], prompt=prompt, task=task)
        assert found.tokens[start:end].tolist() == expected["input_ids"][0].tolist()
        assert (found.types is None) == ("token_type_ids" not in expected)
        if found.types is not None:
            assert found.types[start:end].tolist() == expected["token_type_ids"][0].tolist()
        uncut = model.tokenizer((prompt or "") + text, truncation=False, verbose=False)["input_ids"]
        assert full == len(uncut)


@pytest.mark.parametrize("prompt", [None, "", "query: ", "the cat of the mat " * 3])
def test_equal_for_every_kind_of_tokenizer(model: SentenceTransformer, prompt: str | None) -> None:
    assert_as_the_library(model, TEXTS, prompt)


@pytest.mark.parametrize("limit", [3, 4, 17, 10**30])
@pytest.mark.parametrize("side", ["left", "right"])
def test_equal_for_every_limit(model: SentenceTransformer, limit: int, side: str) -> None:
    model.max_seq_length, model.tokenizer.truncation_side = limit, side
    assert_as_the_library(model, TEXTS)


@QUICK
@given(st.lists(st.text(st.sampled_from("ab THEcat €\n中.<s>[]\u0301"), max_size=60), min_size=1, max_size=4))
def test_equal_for_any_text(texts: list[str]) -> None:
    for built in BUILT.values():
        assert_as_the_library(built, texts, "cat: ")


BUILT = {name: with_tokenizer(make()) for name, make in TOKENIZERS.items() if name in ("bert", "roberta")}


@pytest.mark.parametrize("lower", [False, True])
def test_equal_where_the_module_lower_cases(tmp_path: Path, lower: bool) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "CAT", "the", "THE"]
    encoder = tiny_encoder(CORPUS, max_length=32)
    cased = Tokenizer(
        models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]")
    )
    cased.pre_tokenizer = pre_tokenizers.Whitespace()
    encoder[0].processor = PreTrainedTokenizerFast(tokenizer_object=cased, pad_token="[PAD]")
    encoder[0].save(str(tmp_path))
    module = Transformer(str(tmp_path), do_lower_case=lower)
    model = SentenceTransformer(modules=[module, Pooling(32)])
    assert_as_the_library(model, ["the CAT", "THE cat"])
    assert Tokeniser(model, None, None)(["THE CAT"]).tokens.tolist() == ([7, 5] if lower else [8, 6])


def test_special_tokens_in_a_text_are_split_where_the_tokenizer_says_so() -> None:
    model = with_tokenizer(byte_pairs("<s> $A </s>"))
    as_one = Tokeniser(model, None, None)(["a </s> b"])
    model.tokenizer.split_special_tokens = True
    assert_as_the_library(model, ["a </s> b"])
    assert len(Tokeniser(model, None, None)(["a </s> b"]).tokens) > len(as_one.tokens)


def test_equal_on_each_route_with_a_limit_of_its_own() -> None:
    query, document = tiny_encoder(CORPUS, max_length=32), tiny_encoder(CORPUS, max_length=32)
    query[0].query_length, document[0].max_seq_length = 5, 9
    router = Router.for_query_document([query[0], query[1]], [document[0], document[1]])
    model = SentenceTransformer(modules=[router])
    for task, longest in (("query", 5), ("document", 9), (None, 9)):
        assert_as_the_library(model, TEXTS, task=task)
        assert Tokeniser(model, None, task)(TEXTS).lengths.max() == longest


def test_options_of_the_module_are_honoured() -> None:
    model = tiny_encoder(CORPUS, max_length=32)
    plain = Tokeniser(model, None, None).fingerprint()
    model[0].processing_kwargs = {"text": {"max_length": 5}}
    assert_as_the_library(model, TEXTS)
    assert Tokeniser(model, None, None)(TEXTS).lengths.max() == 5
    assert Tokeniser(model, None, None).fingerprint() not in (plain, None)


def test_what_the_library_packs_itself_is_read_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_encoder(CORPUS, max_length=32)
    expected = Tokeniser(model, None, None)(TEXTS)
    given_back = model.preprocess

    def flat(texts: list[str], **options: Any) -> dict[str, Any]:
        features = given_back(texts, **options)
        mask = features["attention_mask"].bool()
        ends = mask.sum(1).cumsum(0)
        return {"input_ids": features["input_ids"][mask][None], "cu_seq_lens_q": ends.new_tensor([0, *ends])}

    monkeypatch.setattr(model, "preprocess", flat)
    monkeypatch.setattr(Tokeniser, "_fast", lambda self: None)
    found = Tokeniser(model, None, None)(TEXTS)
    assert found.tokens.tolist() == expected.tokens.tolist()
    assert found.lengths.tolist() == expected.lengths.tolist()
    assert found.full_lengths.tolist() == expected.full_lengths.tolist()


def test_the_tokenizer_is_left_as_it_was() -> None:
    model = tiny_encoder(CORPUS, max_length=32)
    model.preprocess(TEXTS)
    backend = model.tokenizer.backend_tokenizer
    before = backend.to_str()
    assert backend.padding is not None
    Tokeniser(model, None, None)(TEXTS)
    assert backend.to_str() == before


@pytest.mark.parametrize("prompt", ["the cat: ", None, ""])
def test_the_length_of_the_prompt_is_the_library_s(model: SentenceTransformer, prompt: str | None) -> None:
    expected = model.preprocess(["a dog"], prompt=prompt).get("prompt_length")
    assert Tokeniser(model, prompt, None).prompt_length() == expected
    assert (expected is None) == (not prompt)


def test_a_fingerprint_is_of_the_content_and_not_of_what_was_tokenised(tmp_path: Path) -> None:
    model = tiny_encoder(CORPUS, max_length=32)
    first = Tokeniser(model, None, None).fingerprint()
    assert first is not None
    model.preprocess(TEXTS)
    model.save_pretrained(str(tmp_path / "elsewhere"))
    again = SentenceTransformer(str(tmp_path / "elsewhere"), device="cpu")
    assert Tokeniser(model, None, None).fingerprint() == first
    assert Tokeniser(again, None, None).fingerprint() == first


def test_each_tokenizer_prompt_and_limit_has_a_fingerprint_of_its_own() -> None:
    seen = set()
    for make in TOKENIZERS.values():
        model = with_tokenizer(make())
        seen |= {Tokeniser(model, prompt, None).fingerprint() for prompt in (None, "a: ", "b: ")}
        model.max_seq_length = 16
        seen.add(Tokeniser(model, None, None).fingerprint())
        model.tokenizer.truncation_side = "left"
        seen.add(Tokeniser(model, None, None).fingerprint())
    assert None not in seen
    assert len(seen) == 5 * len(TOKENIZERS)


def test_a_module_of_another_kind_has_no_fingerprint() -> None:
    class Shouting(Transformer):
        def preprocess(self, inputs: Any, *rest: Any, **options: Any) -> dict[str, Any]:
            return super().preprocess([text + "!" for text in inputs], *rest, **options)

    model = tiny_encoder(["cat ! dog"], max_length=32)
    model[0].__class__ = Shouting
    tokeniser = Tokeniser(model, None, None)
    assert tokeniser.fingerprint() is None
    assert tokeniser(["cat"]).lengths.tolist() == [4]
