"""Recipe files: every problem is found, with file, line, key, what was expected and what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbert_triplet.data.kinds import Kind
from sbert_triplet.errors import RecipeError
from sbert_triplet.recipe import load_recipe, read_recipe, recipe_from

COMPLETE = """\
name: tickets
model: intfloat/e5-small-v2
max_length: 256
prompts: {query: "query: ", document: "passage: "}
data:
  train:
  - tickets.csv
  - source: owner/name
    config: en
    split: train
    revision: main
    weight: 2
    limit: 1e5
  dev: dev.csv
  test: test.parquet
  corpus: articles.parquet
  columns:
    anchor: "{subject}\\n{body}"
    positive: reply
    negative: [negative_1, negative_2]
    weight: clicks
  kind: triplets
  split: {by: created_at, how: time}
  limit: 10_000
  on_bad_row: skip
loss: {name: multiple_negatives_ranking, scale: 30}
train:
  epochs: 2
  max_steps: 500
  max_seconds: 600
  batch_size: 128
  learning_rate: 2e-5
  schedule: cosine
  warmup: 100
  weight_decay: 0
  max_grad_norm: null
  freeze: [embeddings, 3, "*.layer.5.*"]
  patience: 3
  precision: bf16
  group_tokens: 4096
  seed: 7
  deterministic: true
  eval_steps: 50
  save_steps: 100
  keep: 1
  never_worse: false
  report_to: [tensorboard, wandb]
evaluate:
  metrics: [MRR@10, Recall@100]
  dev: 200
  test: 0.2
  slices: language
  bm25: false
  general: false
"""


def write(folder: Path, text: str | bytes, name: str = "tickets.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(folder: Path, text: str | bytes, *overrides: str) -> str:
    path = write(folder, text)
    with pytest.raises(RecipeError) as caught:
        read_recipe(path, overrides)
    return str(caught.value).replace(str(path), "tickets.yaml")


def test_every_key_arrives(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, COMPLETE))
    assert (recipe.name, recipe.model, recipe.max_length) == ("tickets", "intfloat/e5-small-v2", 256)
    assert (recipe.prompts.query, recipe.prompts.document) == ("query: ", "passage: ")
    first, second = recipe.data.train
    assert first.source == "tickets.csv"
    assert (second.source, second.config, second.split) == ("owner/name", "en", "train")
    assert (second.revision, second.weight, second.limit) == ("main", 2.0, 100_000)
    assert [source.source for source in recipe.data.corpus or ()] == ["articles.parquet"]
    assert recipe.data.kind is Kind.TRIPLETS
    assert recipe.data.given_roles() == {
        "kind": "triplets",
        "anchor": "{subject}\n{body}",
        "positive": "reply",
        "negative": ["negative_1", "negative_2"],
        "weight": "clicks",
    }
    assert (recipe.data.split.by, recipe.data.split.how) == ("created_at", "time")
    assert (recipe.data.limit, recipe.data.on_bad_row) == (10_000, "skip")
    assert recipe.loss.name == "multiple_negatives_ranking"
    assert recipe.loss.options == {"scale": 30.0, "similarity": "cosine", "learn_scale": False}
    train = recipe.train
    assert (train.epochs, train.max_steps, train.max_seconds, train.batch_size) == (2.0, 500, 600.0, 128)
    assert (train.learning_rate, train.schedule, train.warmup) == (2e-5, "cosine", 100)
    assert (train.weight_decay, train.max_grad_norm, train.patience) == (0.0, None, 3)
    assert train.freeze == ("embeddings", 3, "*.layer.5.*")
    assert (train.precision, train.group_tokens, train.seed, train.deterministic) == ("bf16", 4096, 7, True)
    assert (train.eval_steps, train.save_steps, train.keep, train.never_worse) == (50, 100, 1, False)
    assert train.report_to == ("tensorboard", "wandb")
    assert recipe.evaluate.metrics == ("RR@10", "R@100")
    assert (recipe.evaluate.dev, recipe.evaluate.test) == (200, 0.2)
    assert recipe.evaluate.slices == ("language",)
    assert (recipe.evaluate.bm25, recipe.evaluate.general) == (False, False)


def test_short_forms_and_empty_sections(tmp_path: Path) -> None:
    short = read_recipe(write(tmp_path, "data: tickets.csv\nloss: cosent\ntrain:\nevaluate:\nprompts:\n"))
    long = {"data": {"train": {"source": "tickets.csv"}}, "loss": {"name": "cosent"}}
    assert short == recipe_from(long, origin="here")
    split = read_recipe(write(tmp_path, "data: {train: a.csv, split: customer}\n")).data.split
    assert (split.by, split.how) == ("customer", None)


def test_auto_is_none(tmp_path: Path) -> None:
    text = "data: {train: a.csv, kind: auto}\nloss: auto\nmax_length: auto\n"
    recipe = read_recipe(write(tmp_path, text + "train: {epochs: auto, batch_size: }\n"))
    assert recipe == read_recipe(write(tmp_path, "data: a.csv\n"))
    assert (recipe.data.kind, recipe.loss.name, recipe.max_length, recipe.train.epochs) == (None,) * 4


def test_words_that_are_truth_values_elsewhere_are_text(tmp_path: Path) -> None:
    text = "data:\n  train: a.csv\n  columns: {anchor: no, positive: on, label: y}\n"
    columns = read_recipe(write(tmp_path, text)).data.columns
    assert (columns.anchor, columns.positive, columns.label) == ("no", ("on",), "y")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("train:\n  lerning_rate: 2e-5",
         "line 3: train.lerning_rate: unknown key; did you mean learning_rate?"),
        ("train:\n  lr: 2e-5", "line 3: train.lr: unknown key; did you mean learning_rate?"),
        ("train:\n  warmup_ratio: 0.1", "line 3: train.warmup_ratio: unknown key; did you mean warmup?"),
        ("epochs: 2", "line 2: epochs: unknown key; did you mean train.epochs?"),
        ("trian:\n  epochs: 2", "line 2: trian: unknown key; did you mean train?"),
        ("max_seq_length: 2", "line 2: max_seq_length: unknown key; did you mean max_length?"),
        ("prompts: {zzz: 1}", "line 2: prompts.zzz: unknown key; known here: query, document"),
        (
            "train:\n\n  epochs: two",
            "line 4: train.epochs: expected a number greater than 0, or auto, found 'two'",
        ),
        ("train: {epochs: 0}", "line 2: train.epochs: expected a number greater than 0, or auto, found 0"),
        ("train: {epochs: true}",
         "line 2: train.epochs: expected a number greater than 0, or auto, found true"),
        ("train: {epochs: .nan}",
         "line 2: train.epochs: expected a number greater than 0, or auto, found nan"),
        ("train: {keep: 1.5}", "line 2: train.keep: expected a whole number of at least 1, found 1.5"),
        ("train: {keep: '2'}", "line 2: train.keep: expected a whole number of at least 1, found '2'"),
        ("train: {keep: 1e400}", "line 2: train.keep: expected a whole number of at least 1, found inf"),
        ("train: {seed: }",
         "line 2: train.seed: expected a whole number from 0 to 4,294,967,295, found nothing"),
        ("train: {never_worse: yes}", "line 2: train.never_worse: expected true or false, found 'yes'"),
        (
            "train: {schedule: cosin}",
            "line 2: train.schedule: expected one of linear, cosine, constant, inverse_sqrt, found 'cosin'; "
            "did you mean cosine?",
        ),
        (
            "train: {warmup: 1.0}",
            "line 2: train.warmup: expected a share from 0 to below 1, or a number of steps, found 1.0",
        ),
        (
            "train: {freeze: [embeddings, 0]}",
            "line 2: train.freeze[1]: expected `embeddings`, a number of layers or a pattern of parameter "
            "names, "
            "found 0",
        ),
        ("train: 3",
         "line 2: train: expected keys and values, such as epochs, max_steps, max_seconds, batch_size, "
         "found 3"),
        ("name: 2024", "line 2: name: expected a name that a folder can have on every system, found 2024; "
         "put it in quotes"),
        ("name: ../up",
         "line 2: name: expected a name that a folder can have on every system, found '../up'"),
        ('model: "\\ud800"',
         "line 2: model: character 1 of the text is half a character (a lone surrogate)"),
        ("model: ''", "line 2: model: expected text that is not empty, found ''"),
        ("evaluate: {dev: .5, test: .5}",
         "line 2: evaluate: dev 0.5 and test 0.5 leave no rows to train on: keep their sum below 1"),
        ("decisions: 3", "line 2: decisions: expected keys and values, found 3"),
    ],
)  # fmt: skip
def test_what_is_wrong_where(tmp_path: Path, lines: str, message: str) -> None:
    assert refusal(tmp_path, f"data: a.csv\n{lines}\n") == f"tickets.yaml {message}"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("  dev: x",
         "line 1: data.train: missing; expected a source (a file, a folder, a Hub id or `docstrings:`), "
         "or a list of these"),
        ("  train: []",
         "line 2: data.train: expected a source (a file, a folder, a Hub id or `docstrings:`), "
         "or a list of these, found an empty list"),
        ("  train: 3",
         "line 2: data.train: expected a source (a file, a folder, a Hub id or `docstrings:`), found 3"),
        ("  train:\n  - a.csv\n  - {source: b.csv, wieght: 2}",
         "line 4: data.train[1].wieght: unknown key; did you mean weight?"),
        ("  train: {source: b.csv, weight: -1}",
         "line 2: data.train.weight: expected a number greater than 0, found -1"),
        ("  train: {weight: 1}",
         "line 2: data.train: expected a source (a file, a folder, a Hub id or `docstrings:`); "
         "as a mapping it needs the key `source`"),
        ("  train: [{question: x, answer: y}]",
         "line 2: data.train[0].question: unknown key; did you mean data.columns.anchor?"),
        ("  train: {rows: [{a: b}]}",
         "line 2: data.train: rows are given in Python or lie in a file; a recipe names the file as "
         "`source`"),
        ("  train: a.csv\n  columns:\n    anchor: {subject}",
         "line 4: data.columns.anchor: expected text that is not empty, found keys and values; "
         'put a template in quotes, as in "{title}"'),
        ("  train: a.csv\n  columns: {negatives: x}",
         "line 3: data.columns.negatives: unknown key; did you mean negative?"),
        ("  train: a.csv\n  columns: {kind: pairs}",
         "line 3: data.columns.kind: unknown key; did you mean data.kind?"),
        ("  train: a.csv\n  kind: pair",
         "line 3: data.kind: expected one of pairs, triplets, labelled, scored, nli, texts, retrieval, "
         "or auto, found 'pair'; did you mean pairs?"),
        ("  train: a.csv\n  split: {how: time}",
         "line 3: data.split: how needs a column to split by: give `by` as well"),
        ("  train: a.csv\n  limit: 0", "line 3: data.limit: expected a whole number of at least 1, found 0"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_data(tmp_path: Path, lines: str, message: str) -> None:
    assert message in refusal(tmp_path, f"data:\n{lines}\n").split("\n")[0]


def test_every_problem_is_listed_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "trian: {}\ntrain:\n  epoks: 1\n  seed: -1\ndata:\n  train: a.csv\n  limit: x\n"
    assert refusal(tmp_path, text).split("\n") == [
        "tickets.yaml line 1: trian: unknown key; did you mean train?",
        "tickets.yaml line 3: train.epoks: unknown key; did you mean epochs?",
        "tickets.yaml line 4: train.seed: expected a whole number from 0 to 4,294,967,295, found -1",
        "tickets.yaml line 7: data.limit: expected a whole number of at least 1, found 'x'",
    ]


def test_unknown_metric_names_its_nearest(tmp_path: Path) -> None:
    message = refusal(tmp_path, "data: a.csv\nevaluate:\n  metrics:\n  - nDGC@10\n")
    assert message.startswith("tickets.yaml line 4: evaluate.metrics[0]: ")
    assert "nDCG@10" in message


def test_missing_data(tmp_path: Path) -> None:
    assert refusal(tmp_path, "name: x\n").startswith("tickets.yaml line 1: data: missing; expected ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "tickets.yaml: is empty; "),
        (b"# nothing\n", "tickets.yaml: is empty; "),
        (b"- a\n- b\n", "tickets.yaml: expected keys and values, such as `model:` and `data:`, found a list"),
        (
            b"just words\n",
            "tickets.yaml: expected keys and values, such as `model:` and `data:`, found 'just words'",
        ),
        (b"\x89PNG\r\n\x1a\n", "tickets.yaml: is not text in UTF-8 (byte 1); is this a recipe?"),
        (
            b"PAR1\x00\x00",
            "tickets.yaml line 1: a character that YAML does not allow (U+0000); is this a recipe?",
        ),
        (b"x" * 1_000_001, "tickets.yaml: is larger than 1,000,000 bytes; is this a file of data?"),
    ],
)
def test_no_recipe_at_all(tmp_path: Path, content: bytes, message: str) -> None:
    found = refusal(tmp_path, content)
    assert found.startswith(message)
    assert "\n" not in found


def test_byte_order_marks_are_read(tmp_path: Path) -> None:
    text = "data: bücher.csv\r\n"
    for encoding in ("utf-8-sig", "utf-16"):
        recipe = read_recipe(write(tmp_path, text.encode(encoding)))
        assert recipe.data.train[0].source == "bücher.csv"


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "data: a.csv\n", "quickstart.yaml")
    with pytest.raises(
        RecipeError, match=r"quickstrat\.yaml: there is no such file; did you mean .*quickstart\.yaml\?"
    ):
        read_recipe(tmp_path / "quickstrat.yaml")
    with pytest.raises(RecipeError, match=r"nowhere/x\.yaml: there is no such file$"):
        read_recipe(tmp_path / "nowhere" / "x.yaml")


def test_folder_points_to_the_recipe_inside(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"is a folder; a recipe is a YAML file$"):
        read_recipe(tmp_path)
    write(tmp_path, "data: a.csv\n", "recipe.yaml")
    with pytest.raises(RecipeError, match=r"is a folder; .*; did you mean .*recipe\.yaml\?"):
        read_recipe(tmp_path)


@pytest.mark.parametrize("name", ["x\0y.yaml", "x" * 5000 + ".yaml"])
def test_impossible_paths(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path / name)


def test_where_a_recipe_lies_and_what_it_is_called(tmp_path: Path) -> None:
    loaded = load_recipe(write(tmp_path, "data: a.csv\ndecisions: {threads: 2}\n"))
    assert (loaded.folder, loaded.name) == (tmp_path, "tickets")
    assert loaded.decisions == {"threads": 2}
    assert load_recipe(write(tmp_path, "name: other\ndata: a.csv\n")).name == "other"


def test_mapping_names_its_origin() -> None:
    with pytest.raises(RecipeError, match=r"^the command line: train\.epochs: expected a number"):
        recipe_from({"data": "a.csv", "train": {"epochs": "x"}}, origin="the command line")
