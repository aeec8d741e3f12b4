"""The exceptions that people see.

    SbertTripletError            2   anything this package raises on purpose
    ├── InputError               2   the person's input is wrong
    │   ├── RecipeError          2   ... in a recipe (file, line, key)
    │   ├── DataError            2   ... in a table, corpus or judgement (file, row, column)
    │   ├── ModelError           2   ... in a model name or folder
    │   └── StoreError           2   ... in a store of embeddings, or it cannot be reached
    ├── GainNotShownError        1   the job ran and the gain that was asked for is not there
    ├── MachineError             3   disk or memory ran out, the Hub is out of reach
    ├── DivergedError            4   training produced numbers that are not finite
    │   └── CollapsedError       4   ... or embeddings that are all alike
    └── StoppedError       130, 143  a signal asked the run to end, and it is saved

The number is the exit code of the command line. A message says what is wrong,
where (file, row, key), and what to do.
"""


class SbertTripletError(Exception):
    """Base of every exception raised on purpose; ``exit_code`` is what the command line exits with."""

    exit_code = 2


class InputError(SbertTripletError):
    """The person's input is wrong."""


class RecipeError(InputError):
    """A recipe is wrong: names the file, the line, the key and the nearest valid spelling."""


class DataError(InputError):
    """A table, a corpus or a judgement is wrong: names the file, the row or the column."""


class ModelError(InputError):
    """A model name or folder is wrong."""


class StoreError(InputError):
    """A store cannot be reached, holds something else than was asked for, or cannot do what was asked."""


class GainNotShownError(SbertTripletError):
    """The job ran to its end, and the gain that was asked for was not shown."""

    exit_code = 1


class MachineError(SbertTripletError):
    """The machine failed: disk, memory, device or network."""

    exit_code = 3


class DivergedError(SbertTripletError):
    """Training produced numbers that are not finite."""

    exit_code = 4


class CollapsedError(DivergedError):
    """Training brought all embeddings together."""


class StoppedError(SbertTripletError):
    """A signal asked the run to end: it stands still after a whole step, with a checkpoint."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal
