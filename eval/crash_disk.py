"""The command line, with a limit on the size of files while the checkpoint of one step is written.

The limit is lifted when that has failed: what is said of it goes into a file, too.

python eval/crash_disk.py BYTES STEP train ...
"""

from __future__ import annotations

import resource
import sys
from typing import Any

from sbert_triplet.cli import app
from sbert_triplet.training.checkpoints import Checkpoints


def main(limit: int, step: int, words: list[str]) -> None:
    """Carry the words out."""
    plain = Checkpoints._refuse_full_disk

    def limited(self: Checkpoints, number: int) -> None:
        plain(self, number)
        soft = limit if number == step else resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))

    give_up = Checkpoints._give_up

    def lifted(self: Checkpoints, *given: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        give_up(self, *given)

    changed: Any = Checkpoints
    changed._refuse_full_disk, changed._give_up = limited, lifted
    sys.argv = ["sbert-triplet", *words]
    app(words)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
