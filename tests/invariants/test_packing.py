"""Texts in packs are encoded as each of them alone: embeddings, gradients, and no trace in the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Router
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.encoding.encode import encode
from sbert_triplet.encoding.forward import BORDERS, sentence_embeddings
from sbert_triplet.encoding.tokens import Side, TokenTable
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.known import KnownPositives
from sbert_triplet.training.objective import Objective

Make = Callable[..., SentenceTransformer]
ENCODERS = ("bert", "roberta", "xlm-roberta", "distilbert", "modernbert")
DECODERS = ("llama", "mistral")
PACKED = (*ENCODERS, *DECODERS)
MODES = ("cls", "mean", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens")
PROMPT = "w1 w2 w3 "
BUDGETS = (1, 70, 100_000)
CLOSE = dict.fromkeys(ENCODERS, 1e-10) | dict.fromkeys(DECODERS, 1e-5)
"""In float64, relative to the largest value; decoders normalise in fp32 whatever their weights are."""


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def table(model: SentenceTransformer, texts: list[str]) -> TokenTable:
    return TokenTable(model, lambda ids: [texts[number] for number in ids])


def in_packs(model: SentenceTransformer, texts: list[str], budget: int, side: Side = "text") -> Tensor:
    """(n, D) as this package encodes them, with gradient."""
    tokens, ids = table(model, texts), np.arange(len(texts))
    tokens.add(side, ids)
    form, places, rows = tokens.form(side), [], []
    for group, features in tokens.inputs(form, ids, budget):
        assert (BORDERS in features) is (not tokens.why_not_packed and all(tokens.lengths(form, ids[group])))
        places.append(group)
        rows.append(sentence_embeddings(model, features))
    return torch.cat(rows)[torch.from_numpy(np.argsort(np.concatenate(places)))]


def by_library(model: SentenceTransformer, texts: list[str], **options: Any) -> Tensor:
    """(n, D) as sentence-transformers encodes one padded batch of them, with gradient."""
    features = model.preprocess(texts, **options)
    assert BORDERS not in features
    task = options.get("task")
    result = model(features, task=task) if task is not None else model(features)
    embeddings: Tensor = result["sentence_embedding"]
    return embeddings


def gradients(model: SentenceTransformer, embeddings: Tensor) -> dict[str, Tensor]:
    """Of each parameter, for one fixed direction of the embeddings."""
    weights = torch.randn(
        embeddings.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    ).to(embeddings.dtype)
    model.zero_grad(set_to_none=True)
    (embeddings * weights).sum().backward()
    found = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def assert_close(found: Tensor, wanted: Tensor, tolerance: float, what: str = "", least: float = 0.0) -> None:
    """Measured by the largest number wanted, or by ``least`` where that is larger."""
    size = max(wanted.detach().abs().max().item(), least)
    far = (found - wanted).detach().abs().max().item()
    assert far <= tolerance * size, f"{what} is {far:.2g} away of {size:.2g}"


def assert_all_close(
    model: SentenceTransformer, texts: list[str], tolerance: float, side: Side = "text", **options: Any
) -> None:
    """Embeddings and every parameter's gradient, in packs of one text, of some, and of all."""
    wanted = by_library(model, texts, **options)
    expected = gradients(model, wanted)
    assert wanted.detach().abs().max().item() > 0.1
    assert sum(bool(grad.any()) for grad in expected.values()) > 10
    for budget in BUDGETS:
        found = in_packs(model, texts, budget, side)
        assert_close(found, wanted, tolerance, f"budget {budget}: the embeddings")
        grads = gradients(model, found)
        assert grads.keys() == expected.keys()
        largest = max(grad.abs().max().item() for grad in expected.values())
        for name, grad in grads.items():
            # That of a bias of keys is nothing but rounding: it has no size of its own to be measured by.
            assert_close(grad, expected[name], 10 * tolerance, f"budget {budget}: {name}", largest / 100)


def with_tokens(kind: str, texts: list[str]) -> list[str]:
    """Without the empty text where it has no token, and so no first token and no largest number."""
    return [text for text in texts if text or kind not in DECODERS]


@pytest.mark.parametrize("prompt", ["none", "pooled", "not pooled"])
@pytest.mark.parametrize("kind", PACKED)
def test_packed_equals_padded(make_encoder: Make, word_texts: list[str], kind: str, prompt: str) -> None:
    model = make_encoder(kind, pooling=MODES).double().train()
    options: dict[str, Any] = {}
    if prompt != "none":
        model.prompts, options = {"query": PROMPT}, {"prompt": PROMPT}
        model.set_pooling_include_prompt(prompt == "pooled")
    texts = with_tokens(kind, word_texts)
    assert table(model, texts).why_not_packed == ""
    assert model.tokenizer.unk_token_id not in model.preprocess(texts)["input_ids"]
    assert_all_close(model, texts, CLOSE[kind], "query", **options)


@pytest.mark.parametrize("kind", PACKED)
def test_embeddings_in_fp32(make_encoder: Make, word_texts: list[str], kind: str) -> None:
    texts = with_tokens(kind, word_texts)
    encoder = make_encoder(kind)[0]
    for mode in MODES:
        model = SentenceTransformer(modules=[encoder, Pooling(24, mode), Normalize()], device="cpu")
        tokens, wanted = table(model, texts), model.encode(texts)
        for budget in BUDGETS:
            found = encode(model, tokens, "text", np.arange(len(texts)), budget=budget)
            np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["bert", "modernbert", "mistral"])
def test_training_under_autocast(
    make_encoder: Make, word_texts: list[str], kind: str, dropout: float
) -> None:
    model = make_encoder(kind, dropout=dropout, normalized=True).train()
    texts = with_tokens(kind, word_texts)
    results = []
    for half in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            found = in_packs(model, texts, 100)
        results.append((found, gradients(model, found)))
    (wanted, expected), (found, grads) = results
    largest = max(grad.abs().max().item() for grad in expected.values())
    # What was dropped is the same: a draw that differed would be far more away than rounding.
    assert 0 < (found - wanted).abs().max().item() < 0.1
    assert max((grads[name] - grad).abs().max().item() for name, grad in expected.items()) < 0.1 * largest


@pytest.mark.parametrize("kind", PACKED)
def test_eager_attention_is_replaced_too(make_encoder: Make, word_texts: list[str], kind: str) -> None:
    model = make_encoder(kind, attention="eager").train()
    assert model[0].model.config._attn_implementation == "eager"
    texts = with_tokens(kind, word_texts)
    assert table(model, texts).why_not_packed == ""
    assert_all_close(model, texts, 2e-5)
    assert model[0].model.config._attn_implementation == "eager"


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("pooling", ["lasttoken", "mean", "weightedmean"])
@pytest.mark.parametrize("budget", BUDGETS)
def test_a_text_without_tokens(
    make_encoder: Make, word_texts: list[str], kind: str, pooling: str, budget: int
) -> None:
    model = make_encoder(kind, pooling=pooling)
    empty = word_texts.index("")
    assert model.preprocess(["", "w1"])["attention_mask"].sum(1).tolist() == [0, 1]
    found = in_packs(model, word_texts, budget)
    wanted = by_library(model, word_texts)
    assert_close(found, wanted, 1e-5)
    assert not found[empty].any()
    assert not in_packs(model, [""], budget).any()


def test_texts_of_exactly_one_token(make_encoder: Make) -> None:
    model = make_encoder("llama", pooling=MODES).double().train()
    texts = ["w5", "w6", "w5", "w7 w8"]
    tokens = table(model, texts)
    tokens.add("text", np.arange(4))
    assert tokens.lengths(0, np.arange(4)).tolist() == [1, 1, 1, 2]
    assert_all_close(model, texts, 1e-5)


@pytest.mark.parametrize("kind", PACKED)
def test_neighbours_in_a_pack_do_not_matter(make_encoder: Make, word_texts: list[str], kind: str) -> None:
    model = make_encoder(kind).double().eval()
    texts = with_tokens(kind, word_texts)
    changed = [texts[0], *(f"{text} w3" for text in reversed(texts[1:]))]
    with torch.no_grad():
        first, second = (in_packs(model, some, 100_000)[0] for some in (texts, changed))
    assert_close(second, first, CLOSE[kind])


@pytest.mark.parametrize("kind", ENCODERS)
def test_texts_that_spell_special_tokens(make_encoder: Make, kind: str) -> None:
    model = make_encoder(kind).double().train()
    texts = ["w1 <pad> w2", "<pad> w3 w4", "<s> w5 </s> w6 <unk>", "w7 w8 <pad>"]
    assert model.tokenizer.pad_token_id in model.preprocess(["<pad>"])["input_ids"]
    assert_all_close(model, texts, 1e-10)


def test_equal_texts_have_equal_embeddings(make_encoder: Make, word_texts: list[str]) -> None:
    model = make_encoder("bert").double().eval()
    with torch.no_grad():
        found = in_packs(model, word_texts, 100_000)
    for place, text in enumerate(word_texts):
        assert torch.equal(found[place], found[word_texts.index(text)])


@pytest.mark.parametrize(
    ("kind", "why"),
    [("mpnet", "does not look up its attention"), ("checkpointed bert", "gradient checkpointing is on")],
)
def test_what_cannot_be_packed_is_padded_and_equal(
    make_encoder: Make, word_texts: list[str], kind: str, why: str
) -> None:
    model = make_encoder(kind.split()[-1], pooling=MODES).double().train()
    if kind.startswith("checkpointed"):
        model[0].model.activation_checkpointing_enable()
    assert why in table(model, word_texts).why_not_packed
    assert_all_close(model, word_texts, 1e-10)
    found = encode(model, table(model, word_texts), "text", np.arange(len(word_texts)))
    np.testing.assert_allclose(found, model.encode(word_texts), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kinds", [("bert", "bert"), ("modernbert", "llama"), ("bert", "mpnet")])
def test_routes_for_queries_and_documents(
    make_encoder: Make, word_texts: list[str], kinds: tuple[str, str]
) -> None:
    query, document = (make_encoder(kind, seed=seed) for seed, kind in enumerate(kinds))
    router = Router.for_query_document([*query], [*document], default_route="query")
    model = SentenceTransformer(modules=[router, Normalize()]).double().train()
    texts = with_tokens("llama", word_texts)
    tokens = table(model, texts)
    assert bool(tokens.why_not_packed) is ("mpnet" in kinds)
    for side, kind in zip(("query", "document"), kinds, strict=True):
        assert_all_close(model, texts, CLOSE.get(kind, 1e-10), side, task=side)
    ids = np.arange(len(texts))
    for side, library in (("query", model.encode_query), ("document", model.encode_document)):
        np.testing.assert_allclose(encode(model, tokens, side, ids), library(texts), atol=1e-5, rtol=0)


def test_routes_after_a_shared_encoder(make_encoder: Make, word_texts: list[str]) -> None:
    shared = make_encoder("bert")
    torch.manual_seed(0)
    router = Router.for_query_document([Dense(24, 6)], [Dense(24, 6)], default_route="query")
    model = SentenceTransformer(modules=[*shared, router]).double().train()
    for side in ("query", "document"):
        assert_all_close(model, word_texts, 1e-10, side, task=side)


def objective_of(
    model: SentenceTransformer, texts: list[str], budget: int = 100
) -> tuple[Objective, Collator]:
    half = len(texts) // 2
    examples = Examples(Kind.PAIRS, np.arange(half), np.arange(half), positives=np.arange(half, 2 * half))
    loss = MultipleNegativesRankingLoss()
    known = KnownPositives(examples.known_positives())
    collator = Collator(
        examples, table(model, texts), loss.needs_for("pairs"), ("query", "document"), budget, known
    )
    collator.prepare()
    return Objective(model, loss), collator


def trained(model: SentenceTransformer, texts: list[str], steps: int = 3) -> list[float]:
    objective, collator = objective_of(model, texts)
    objective.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for step in range(steps):
        batch = collator([(step + row) % len(collator) for row in range(5)])
        loss = objective(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@contextmanager
def unchanged(model: SentenceTransformer, folder: Path) -> Iterator[None]:
    """Configurations, layers and every saved file but weights are the same after what is done inside."""

    def seen() -> list[Any]:
        configuration = model[0].model.config
        layers = [dict(vars(part)) for part in model.modules() if isinstance(part, nn.Dropout)]
        return [configuration._attn_implementation, configuration.to_dict(), layers]

    def saved(name: str) -> dict[str, bytes]:
        model.save_pretrained(str(folder / name), create_model_card=False)
        files = [file for file in (folder / name).rglob("*") if file.suffix not in ("", ".safetensors")]
        return {str(file.relative_to(folder / name)): file.read_bytes() for file in files}

    model.train().preprocess(
        ["w1"]
    )  # whatever tokenises leaves its padding and truncation in the tokenizer's file
    before = seen(), saved("before")
    assert "config.json" in before[1]
    yield
    assert (seen(), saved("after")) == before
    assert not any(b"sbert_triplet" in content for content in before[1].values())


@pytest.mark.parametrize("attention", [None, "eager"])
@pytest.mark.parametrize("kind", PACKED)
def test_nothing_of_it_is_left_in_the_model(
    make_encoder: Make, word_texts: list[str], tmp_path: Path, kind: str, attention: str | None
) -> None:
    model = make_encoder(kind, pooling="mean", dropout=0.1, attention=attention, normalized=True)
    texts, ids = with_tokens(kind, word_texts), np.arange(len(with_tokens(kind, word_texts)))
    with unchanged(model, tmp_path):
        encode(model, table(model, texts), "text", ids)
        assert all(np.isfinite(trained(model, texts)))
        found = encode(model, table(model, texts), "text", ids)
    folder = str(tmp_path / "after")
    again = SentenceTransformer(folder, device="cpu")
    np.testing.assert_allclose(again.encode(texts), found, atol=1e-5, rtol=0)
    plain, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(texts, padding=True, truncation=True, max_length=80, return_tensors="pt")
    with torch.no_grad():
        states = plain(**inputs).last_hidden_state
    mask = inputs["attention_mask"].unsqueeze(-1)
    mean = nn.functional.normalize((states * mask).sum(1) / mask.sum(1))
    np.testing.assert_allclose(mean.numpy(), found, atol=1e-5, rtol=0)


def test_nothing_is_left_after_an_error_either(
    make_encoder: Make, word_texts: list[str], tmp_path: Path
) -> None:
    model = make_encoder("bert", dropout=0.1).train()
    objective, collator = objective_of(model, word_texts)
    batch = collator([0, 1, 2])
    handle = model[1].register_forward_pre_hook(lambda *_: 1 / 0)
    with unchanged(model, tmp_path):
        with pytest.raises(ZeroDivisionError):
            objective(batch)
        with pytest.raises(ZeroDivisionError):
            encode(model, table(model, word_texts), "text", np.arange(3))
        handle.remove()
    assert model.training


def test_training_with_dropout_is_reproducible(make_encoder: Make, word_texts: list[str]) -> None:
    runs = []
    for seed in (0, 0, 1):
        model = make_encoder("bert", dropout=0.2)
        torch.manual_seed(seed)
        runs.append(trained(model, word_texts))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize("kind", ["bert", "modernbert", "llama"])
def test_the_mean_under_dropout_is_that_of_padded_texts(make_encoder: Make, kind: str) -> None:
    # One layer's attention over values of its own is linear in what is dropped; more layers are nearly so.
    model = make_encoder(kind, dropout=0.1).train()
    texts = ["w1 w2 w3 w4 w5", "w6 w7 w8", "w9 w10 w11 w12 w13 w14 w15"]
    torch.manual_seed(0)
    with torch.no_grad():
        ours = torch.stack([in_packs(model, texts, 100) for _ in range(120)])
        theirs = torch.stack([by_library(model, texts) for _ in range(120)])
    error = ((ours.var(0) + theirs.var(0)) / 120).sqrt()
    assert float(error.max()) > 0
    assert ((ours.mean(0) - theirs.mean(0)).abs() < 5 * error + 1e-6).all()
    spread = (ours.std(0) / theirs.std(0)).log()
    assert float(spread.mean().abs()) < 0.1
