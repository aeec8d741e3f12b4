"""What the audit says of lengths: of each column under its own prompt, from what was tokenised already."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sbert_triplet.encoding.tokenise import Tokenised, Tokeniser
from sbert_triplet.pipeline.checking_alone import check
from sbert_triplet.pipeline.options import Options
from sbert_triplet.recipe.reading import recipe_from

ROWS = 40
PROMPT = "a b c d e f: "


@pytest.fixture
def checked(tables: Any) -> Callable[..., tuple[dict[str, Any], list[str]]]:
    """``data.json``, and what was said, of a check of pairs whose every fourth answer is beyond any limit."""

    def carried_out(**sections: Any) -> tuple[dict[str, Any], list[str]]:
        rows = [
            {
                "question": f"what is {number}?",
                "answer": f"it is {number}, " + "and so on " * (number % 4 * 30),
            }
            for number in range(ROWS)
        ]
        said: list[str] = []
        recipe = recipe_from({"data": {"train": tables.write("mine.csv", rows)}, **sections}, origin="test")
        check(recipe, Path("out"), options=Options(say=said.append, smoke=True))
        return json.loads(Path("out/data.json").read_text(encoding="utf-8")), said

    return carried_out


def test_each_column_is_counted_with_its_own_prompt(checked: Any) -> None:
    plain, _ = checked()
    prompted, _ = checked(prompts={"query": PROMPT, "document": ""})
    added = len(PROMPT.split()) + 1
    assert prompted["lengths"]["anchor"]["mean"] == pytest.approx(plain["lengths"]["anchor"]["mean"] + added)
    assert prompted["lengths"]["positive"] == plain["lengths"]["positive"]


def test_what_is_cut_off_is_said_and_recorded_for_each_column(checked: Any) -> None:
    record, said = checked()
    assert record["lengths"]["anchor"]["truncated_texts_share"] == 0
    positive = record["lengths"]["positive"]
    assert positive["truncated_texts_share"] == pytest.approx(0.75, abs=0.1)
    assert 0.3 < positive["truncated_tokens_share"] < 0.8
    line = next(line for line in said if line.startswith("positive ") and "median" in line)
    assert f"{100 * positive['truncated_tokens_share']:.1f} % of all tokens are cut off" in line
    assert any(finding["code"] == "truncated-texts" for finding in record["findings"])


def test_the_audit_tokenises_nothing_that_training_does_not(
    checked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    call = Tokeniser.__call__

    def listed(self: Tokeniser, some: list[str]) -> Tokenised:
        # A model is tried with rows of its own, which are no texts of the data.
        seen.extend(text for text in some if set(text) - set("a "))
        return call(self, some)

    monkeypatch.setattr(Tokeniser, "__call__", listed)
    checked(prompts={"query": PROMPT, "document": ""})
    assert seen
    assert len(seen) == len(set(seen))
