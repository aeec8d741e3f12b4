"""Embeddings over HTTP: those of ``encode``, in OpenAI's shape, to its own client."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import openai
import pytest
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.errors import InputError
from sbert_triplet.search.server.app import Service
from sbert_triplet.search.server.keys import Keys
from sbert_triplet.search.server.limits import Limits
from sbert_triplet.search.server.served import ServedModel, public_name

KEY = "k" * 32
TEXTS = ["rain falls on the moss", "", "bread " * 200, "chess", "rain falls on the moss"]


def test_they_are_those_of_encode(start: Any, served: ServedModel, encoder: SentenceTransformer) -> None:
    answer = start(Service([served])).post("/v1/embeddings", {"input": TEXTS, "model": "tiny"}).json()
    assert (answer["object"], answer["model"]) == ("list", "tiny")
    assert [one["index"] for one in answer["data"]] == [0, 1, 2, 3, 4]
    found = np.array([one["embedding"] for one in answer["data"]])
    np.testing.assert_allclose(found, encoder.encode(TEXTS), atol=1e-6)
    # [CLS] and [SEP] around 5, 0, 62 (cut off at 64), 1 and 5 words.
    assert answer["usage"] == {"prompt_tokens": 7 + 2 + 64 + 3 + 7, "total_tokens": 83}


def test_a_single_text_and_base64(start: Any, served: ServedModel) -> None:
    running = start(Service([served]))
    plain = running.post("/v1/embeddings", {"input": "chess"}).json()["data"][0]["embedding"]
    packed = running.post("/v1/embeddings", {"input": "chess", "encoding_format": "base64"}).json()
    found = np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), dtype="<f4")
    assert found.tolist() == plain


def test_the_client_of_openai(start: Any, served: ServedModel, encoder: SentenceTransformer) -> None:
    running = start(Service([served], keys=Keys([KEY])))
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=KEY, max_retries=0)
    found = client.embeddings.create(model="tiny", input=TEXTS)
    np.testing.assert_allclose([one.embedding for one in found.data], encoder.encode(TEXTS), atol=1e-6)
    as_numbers = client.embeddings.create(model="tiny", input="chess", encoding_format="float")
    np.testing.assert_allclose(as_numbers.data[0].embedding, encoder.encode("chess"), atol=1e-6)
    query = client.embeddings.create(model="tiny", input="chess", extra_body={"input_type": "query"})
    assert len(query.data) == 1
    assert [model.id for model in client.models.list()] == ["tiny"]
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.embeddings.create(model="tiny", input=[[1, 2, 3]])
    assert "token ids are not taken" in refused.value.message
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="another", max_retries=0).models.list()
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="another", input="chess")


def test_the_type_of_input_chooses_the_prompt(start: Any) -> None:
    model = tiny_encoder(TEXTS)
    model.prompts.update({"query": "rain: ", "document": "bread: "})
    running = start(Service([ServedModel(model, "tiny")]))
    wanted = {
        "query": model.encode_query("chess"),
        "document": model.encode_document("chess"),
        None: model.encode("chess"),
    }
    assert np.abs(wanted["query"] - wanted["document"]).max() > 1e-3
    for kind, expected in wanted.items():
        asked = {"input": "chess"} | ({"input_type": kind} if kind else {})
        found = running.post("/v1/embeddings", asked).json()["data"][0]["embedding"]
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_dimensions(start: Any, served: ServedModel, encoder: SentenceTransformer) -> None:
    cut = ServedModel(encoder, "cut", (8, 16))
    running = start(Service([served, cut]))
    whole = encoder.encode("chess")
    found = running.post("/v1/embeddings", {"input": "chess", "model": "cut", "dimensions": 8}).json()
    np.testing.assert_allclose(
        found["data"][0]["embedding"], whole[:8] / np.linalg.norm(whole[:8]), atol=1e-6
    )
    assert running.post("/v1/embeddings", {"input": "chess", "dimensions": 32}).status_code == 200
    refused = running.post("/v1/embeddings", {"input": "chess", "dimensions": 8})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "dimensions")
    assert "Matryoshka" in refused.json()["error"]["message"]
    other = running.post("/v1/embeddings", {"input": "chess", "model": "cut", "dimensions": 9}).json()
    assert "8, 16, 32" in other["error"]["message"]
    with pytest.raises(InputError, match="--dimensions 33"):
        ServedModel(encoder, "cut", (33,))


def test_dimensions_of_the_configuration() -> None:
    model = tiny_encoder(TEXTS)
    model[0].auto_model.config.matryoshka_dimensions = [16, 8, 32]
    assert ServedModel(model, "tiny").dimensions == (8, 16)


@pytest.mark.parametrize(
    ("content", "status", "param", "word"),
    [
        ({"input": []}, 422, "input", "empty"),
        ({"input": [1, 2]}, 422, "input", "token ids"),
        ({"input": [[1], [2]]}, 422, "input", "token ids"),
        ({"input": ["a", None]}, 422, "input", "list of texts"),
        ({"input": 3}, 422, "input", "list of texts"),
        ({}, 422, "input", "list of texts"),
        ({"inptu": "a"}, 422, "inptu", "no such field"),
        ({"input": "a", "encoding_format": "hex"}, 422, "encoding_format", "float"),
        ({"input": "a", "input_type": "passage"}, 422, "input_type", "query"),
        ({"input": "a", "dimensions": 0}, 422, "dimensions", "greater"),
        ({"input": ["a"] * 5}, 422, "input", "5 texts, and 4 are allowed"),
        ({"input": "a" * 101}, 422, "input", "101 characters"),
        ({"input": ["rain " * 12] * 2}, 413, "input", "28 tokens, and 20 are allowed"),
        (["a"], 422, None, "object"),
    ],
)
def test_what_is_wrong_is_told(
    start: Any, served: ServedModel, content: Any, status: int, param: str, word: str
) -> None:
    limits = Limits(texts=4, text_characters=100, tokens=20)
    answer = start(Service([served], limits=limits)).post("/v1/embeddings", content)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["type"]) == (status, param, "invalid_request_error")
    assert word in error["message"]


def test_names_do_not_tell_where_files_lie() -> None:
    assert public_name("sentence-transformers/all-MiniLM-L6-v2") == "all-MiniLM-L6-v2"
    assert public_name("/home/me/runs/tickets/model") == "tickets"
    assert public_name("../runs/tickets/") == "tickets"
    assert public_name("model") == "model"
    assert public_name("") == "model"
