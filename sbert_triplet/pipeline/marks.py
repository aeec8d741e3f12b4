"""The marks of a person in a run: read for mining, and not lost where a run folder is emptied."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sbert_triplet.errors import InputError
from sbert_triplet.mining.marks import MARK_COLUMN, Marks, read_marks
from sbert_triplet.pipeline.folder import NEGATIVES, SUSPECTS
from sbert_triplet.pipeline.recorded import whole_path
from sbert_triplet.pipeline.tasks import Setting
from sbert_triplet.recipe.model import Recipe


def marks_of(setting: Setting) -> Marks:
    """The recipe's marks, none where it names no file. Raises InputError for a file that is not there."""
    if setting.recipe.mine.marks is None:
        return Marks.none()
    path, texts = Path(whole_path(setting.recipe.mine.marks, setting.folder)), setting.data.texts
    if not path.is_file():
        raise InputError(f"mine.marks: {path}: there is no such file")
    return read_marks(path, texts.lookup, len(texts))


def refuse_to_lose_marks(home: Path, recipe: Recipe, folder: Path | None) -> None:
    """Raise InputError where what a person judged lies in a run folder that is about to be emptied.

    ``folder`` is where relative paths start after the current one.
    """
    if recipe.mine.marks is not None:
        marks = Path(whole_path(recipe.mine.marks, folder))
        if home.resolve() in marks.resolve().parents:
            raise InputError(
                f"mine.marks: {marks} lies in the run folder {home}, which would be emptied; "
                "name another folder with --out"
            )
    suspects = home / NEGATIVES / SUSPECTS
    if suspects.is_file() and has_marks(suspects):
        raise InputError(
            f"{suspects}: somebody has marked rows, and the run folder would be emptied; move the file, "
            "or name another folder with --out"
        )


def has_marks(suspects: Path) -> bool:
    """Whether somebody has filled the column ``mark`` of a table of suspects."""
    try:
        marks = pq.read_table(suspects, columns=[MARK_COLUMN]).column(MARK_COLUMN)
    except (pa.ArrowException, OSError, KeyError):
        return False
    given = marks.cast(pa.string()).fill_null("")
    return bool(pc.any(pc.not_equal(pc.utf8_trim_whitespace(given), "")).as_py())
