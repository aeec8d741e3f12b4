"""Tokens, users and queries of addresses are not shown, and all else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.data.redaction import redacted
from sbert_triplet.data.wording import first_line


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://me:hf_SEKRET@127.0.0.1:80/api: no", "at http://[hidden]@127.0.0.1:80/api: no"),
        ("https://me:p@ss@hub.org/x", "https://[hidden]@hub.org/x"),
        ("https://token@hub.org", "https://[hidden]@hub.org"),
        ("get 'https://h.org/a?Signature=x&Key=y' now", "get 'https://h.org/a?[hidden]' now"),
        ("(https://h.org/a?abc)", "(https://h.org/a?[hidden])"),
        ("with url: /a/b?X-Amz-Credential=x%2Fy (", "with url: /a/b?[hidden] ("),
        ("Bearer hf_aBcDeFgHiJ", "Bearer [hidden]"),
        ("%3Ahf_secretsecretsecretsecret,", "%3A[hidden],"),
    ],
)
def test_secrets_are_hidden(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "https://hub.org/a/b: 404 Client Error",
        "mail me@hub.org about it",
        'File "huggingface_hub/hf_api.py", in hf_hub_download, hf_raise_for_status',
        "is that so? yes",
        "HF_TOKEN is not set, HF_ENDPOINT=https://hub.org",
    ],
)
def test_all_else_is_shown(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
def test_the_values_of_the_environment_are_hidden(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, " plain-token.1 ")
    assert redacted("it is plain-token.1, it is") == "it is [hidden], it is"
    monkeypatch.setenv(name, "is")
    assert redacted("it is") == "it is"


@given(
    st.from_regex(r"[a-z0-9:@%._~-]{1,20}", fullmatch=True),
    st.from_regex(r"[a-z]{1,8}=[a-zA-Z0-9%&=+/@:.?-]{0,30}", fullmatch=True),
    st.text(max_size=20),
)
def test_no_user_and_no_query_is_left(user: str, query: str, around: str) -> None:
    text = redacted(f"http://SECRET{user}@hub.org/x?{query}SECRET\n{around}")
    assert "SECRET" not in text.partition("\n")[0]
    assert text.startswith("http://[hidden]@hub.org/x?[hidden]")


def test_a_first_line_is_redacted_before_it_is_cut() -> None:
    token = "hf_aBcDeFgHiJkLmNoP"
    assert first_line(ValueError(f"https://{token}@hub.org/a"), 18) == "https://[hidden]@h…"
