"""The portable folder in other people's code: how far each consumer's embeddings lie from ours.

    python eval/consumers.py [--model FOLDER] [--only NAME ...] [--short]

Four models (mean and Normalize, CLS, a Dense head, prompts and no Normalize), each saved by `save_portable`
and loaded by every consumer in an environment of its own, which is made in a temporary folder (pip gets the
consumer's packages; torch and numpy are those of this one). What is compared: the embeddings of the same
texts as queries and as documents. A consumer without a place for prompts gets them put before the texts.
--model: a run or a folder in place of all-MiniLM-L6-v2. --short: the two consumers that are installed here;
writes nothing.

Writes eval/results/consumers.json after each consumer; `--table` prints it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from consumers_code import CONSUMERS, Consumer

NAME = "consumers"
ENOUGH = 1e-5
SHORT = ("sentence-transformers 6.2", "transformers")
ROLES = ("query", "document")
SHARED = ("torch", "numpy", "scipy", "scikit-learn", "sympy", "mpmath", "networkx", "joblib", "threadpoolctl")
"""Distributions that no environment needs a copy of."""
TEXTS = (
    "how do I return a parcel",
    "A parcel can be returned within thirty days, free of charge, at every post office.",
    "naïve café, 日本語, Ελληνικά",
    "a long text of many words that goes on " * 60,
)
SECONDS = 900
_AROUND = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import numpy as np
for job in json.loads(open(sys.argv[1], encoding="utf-8").read()):
    try:
        scope = {}
        exec(job["code"], scope)
        rows = scope["embed"](job["folder"], job["texts"], job["role"], job["prompt"])
        np.save(job["out"], np.asarray(rows, dtype=np.float32))
    except Exception as error:
        open(job["out"] + ".error", "w").write(f"{type(error).__name__}: {error}")
"""
_PLAIN = """
_embed = embed
def embed(folder, texts, role, prompt):
    return _embed(texts, prompt)
"""
Results = dict[str, Any]


def models(folder: Path, source: str | None) -> dict[str, Any]:
    """The models by name, each saved as a portable folder below ``folder``."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling

    from sbert_triplet.encoding.loading import EMBEDDED_MODEL, load_model
    from sbert_triplet.publishing.portable import save_portable

    first = load_model(source or EMBEDDED_MODEL, device="cpu")
    size = first[0].get_embedding_dimension()
    torch.manual_seed(0)

    def made(*modules: torch.nn.Module, **settings: Any) -> SentenceTransformer:
        return SentenceTransformer(modules=[first[0], *modules], device="cpu", **settings)

    prompts = {"query": "query: ", "document": "passage: "}
    found = {
        "as it is": first,
        "CLS": made(Pooling(size, "cls"), Normalize()),
        "Dense head": made(Pooling(size, "mean"), Dense(size, 128), Normalize()),
        "prompts, no Normalize": made(Pooling(size, "mean"), prompts=prompts),
    }
    for name, model in found.items():
        save_portable(model, place_of(folder, name))
    return found


def expected(model: Any, role: str) -> Any:
    """(n, D) what sentence-transformers gives in this process."""
    encode = model.encode_query if role == "query" else model.encode_document
    return np.asarray(encode(list(TEXTS), show_progress_bar=False))


def environment(consumer: Consumer, place: Path) -> str:
    """A Python that has the consumer's packages, and torch and the like from this one."""
    if not consumer.packages:
        return sys.executable
    venv.create(place, with_pip=True)
    python = str(place / ("Scripts" if os.name == "nt" else "bin") / "python")
    paths = [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    inside = subprocess.run(paths, capture_output=True, text=True, check=True).stdout.strip()
    share(Path(inside))
    subprocess.run(
        [python, "-m", "pip", "install", "-q", *consumer.packages], check=True, capture_output=True
    )
    return python


def share(site: Path) -> None:
    """Links to what is large and the same for every consumer; all else is of its own choice."""
    for name in SHARED:
        distribution = importlib.metadata.distribution(name)
        for top in sorted(
            {Path(str(file)).parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
        ):
            (site / top).symlink_to(Path(str(distribution.locate_file(top))))


def measured(consumer: Consumer, found: dict[str, Any], folder: Path, name: str) -> Results:
    """Of each model the largest difference, or the reason why there is none."""
    place = folder / "environments" / name.replace(" ", "-")
    try:
        python = environment(consumer, place)
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        return {model: {"reason": f"cannot be installed: {lines[-1] if lines else error}"} for model in found}
    scratch = place.with_name(f"{place.name}.job")
    scratch.mkdir(parents=True)
    jobs = {
        (model, role): job(consumer, made, place_of(folder, model), role, scratch / f"{number}-{role}.npy")
        for number, (model, made) in enumerate(found.items())
        for role in ROLES
    }
    said = carried_out(python, list(jobs.values()), scratch)
    return {
        model: compared(made, {role: jobs[model, role] for role in ROLES}, said)
        for model, made in found.items()
    }


def job(consumer: Consumer, model: Any, home: Path, role: str, out: Path) -> Results:
    """What a consumer is to embed, by which lines, and where the embeddings go."""
    from sbert_triplet.publishing.plain import plain_code

    prompt = model.prompts.get(role) or ""
    code = consumer.code
    if not code:
        lines = plain_code(home, str(home)).code
        code = f"{lines}\n{_PLAIN}"
    return {
        "code": code,
        "folder": str(home),
        "texts": list(TEXTS) if consumer.prompts else [prompt + text for text in TEXTS],
        "role": role,
        "prompt": prompt if consumer.prompts else "",
        "out": str(out),
    }


def carried_out(python: str, jobs: list[Results], scratch: Path) -> str:
    """Do the jobs in one process; what it said last where it failed as a whole."""
    (scratch / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    (scratch / "run.py").write_text(_AROUND, encoding="utf-8")
    quiet = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "ANONYMIZED_TELEMETRY": "False",
        "HF_HOME": str(scratch / "home"),
    }
    words = [python, str(scratch / "run.py"), str(scratch / "jobs.json")]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, env=quiet, cwd=scratch)
    except subprocess.TimeoutExpired:
        return f"no answer in {SECONDS} s"
    return (done.stderr.strip().splitlines() or ["nothing was said"])[-1]


def compared(model: Any, jobs: dict[str, Results], said: str) -> Results:
    """The largest difference over both roles; the reason where there are no embeddings of a role."""
    largest = 0.0
    for role, asked in jobs.items():
        file, told = Path(asked["out"]), Path(asked["out"] + ".error")
        if not file.is_file():
            reason = told.read_text(encoding="utf-8") if told.is_file() else said
            return {"reason": reason.replace(asked["folder"], "FOLDER").split("\n")[0][:300]}
        rows, wanted = np.load(file), expected(model, role)
        if rows.shape != wanted.shape:
            return {"reason": f"embeddings of {rows.shape[-1]} numbers in place of {wanted.shape[-1]}"}
        largest = max(largest, float(np.abs(rows - wanted).max()))
    return {"difference": largest}


def place_of(folder: Path, model: str) -> Path:
    """Where a model's portable folder lies."""
    return folder / model.replace(" ", "-").replace(",", "")


def table(results: Results) -> str:
    """A row for each consumer, a column for each model."""
    names = list(dict.fromkeys(model for found in results.values() for model in found["models"]))
    lines = [f"| consumer | {' | '.join(names)} | |", f"| --- |{' --- |' * len(names)} --- |"]
    for consumer, found in results.items():
        cells = [_cell(found["models"].get(name, {})) for name in names]
        beside = [found["note"], "" if found["prompts"] else "prompts put before the texts by hand"]
        lines.append(f"| {consumer} | {' | '.join(cells)} | {'; '.join(word for word in beside if word)} |")
    return "\n".join(lines)


def _cell(found: Results) -> str:
    if "difference" not in found:
        return f"cannot: {found.get('reason', 'not measured')}"
    return f"{found['difference']:.0e}" + ("" if found["difference"] <= ENOUGH else " (differs)")


def run(
    only: Sequence[str], source: str | None, results: Results, keep: Callable[[Results], object]
) -> Results:
    """The consumers that are asked for, each handed to ``keep`` with all others as soon as it is measured."""
    with tempfile.TemporaryDirectory(prefix="consumers-") as scratch:
        found = models(Path(scratch), source)
        for name in only:
            consumer = CONSUMERS[name]
            print(f"{name} ...", flush=True)
            results[name] = {
                "models": measured(consumer, found, Path(scratch), name),
                "prompts": consumer.prompts,
                "note": consumer.note,
            }
            keep(results)
    return results


def main(words: Sequence[str] | None = None) -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model")
    parser.add_argument("--only", nargs="+", choices=list(CONSUMERS), default=list(CONSUMERS))
    parser.add_argument("--short", action="store_true", help="what is installed here; writes nothing")
    parser.add_argument("--table", action="store_true", help="print the results that there are")
    arguments = parser.parse_args(words)
    from record import read_if_there, write

    if arguments.table:
        print(table(read_if_there(NAME) or {}))
    elif arguments.short:
        print(table(run(SHORT, arguments.model, {}, lambda _: None)))
    else:
        earlier = read_if_there(NAME) or {}
        print(table(run(arguments.only, arguments.model, earlier, lambda found: write(NAME, found))))


if __name__ == "__main__":
    main()
