"""Requests that are worth another try, and what may be said of those that failed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError

from sbert_triplet.data.wording import first_line

Answer = TypeVar("Answer")
ATTEMPTS = 5
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds; each wait is twice the last one, and a server's own wish (``Retry-After``) goes before."""
_LATER = frozenset({408, 425, 429})
_QUERY = re.compile(r"\?[^\s'\")]+")


@dataclass(frozen=True)
class Retrying:
    """How often and with what waits; ``secret`` is replaced wherever it stands in what is said."""

    say: Callable[[str], None]
    secret: str = ""
    attempts: int = ATTEMPTS
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, what: str, call: Callable[[], Answer]) -> Answer:
        """What ``call`` gives, asked again after failures that pass. Raises the last one."""
        for attempt in range(1, self.attempts + 1):
            try:
                return call()
            except Exception as error:
                if attempt == self.attempts or not passing(error):
                    raise
                self.wait(what, error, attempt)
        raise AssertionError("at least one attempt is made")

    def wait(self, what: str, error: BaseException, attempt: int) -> None:
        """Say what failed and let time pass before the next attempt."""
        seconds = wanted_wait(error)
        if seconds is None:
            seconds = min(FIRST_WAIT * 2 ** (attempt - 1), LONGEST_WAIT)
        self.say(
            f"{what}: {self.told(error)}; once more in {seconds:.0f} s ({attempt} of {self.attempts - 1})"
        )
        self.sleep(seconds)

    def told(self, error: BaseException) -> str:
        """The first line of an error without the token, and without the signatures that addresses carry."""
        status = status_of(error)
        line = first_line(error) if status is None else f"the Hub answers {status}: {first_line(error)}"
        line = _QUERY.sub("", line)
        return line.replace(self.secret, "***") if self.secret else line


def passing(error: BaseException) -> bool:
    """Whether the failure may be gone at the next try: too many requests, a server's own, a broken line."""
    status = status_of(error)
    if status is not None:
        return status in _LATER or status >= 500
    return any(_of_the_line(each) for each in _chain(error))


def status_of(error: BaseException) -> int | None:
    """The status of the answer behind an error, or None where there was no answer."""
    for each in _chain(error):
        response = each.response if isinstance(each, HfHubHTTPError) else None
        if response is not None:
            return int(response.status_code)
    return None


def wanted_wait(error: BaseException) -> float | None:
    """The seconds that the server asks to wait, at most ``LONGEST_WAIT``."""
    for each in _chain(error):
        response = each.response if isinstance(each, HfHubHTTPError) else None
        value = "" if response is None else response.headers.get("Retry-After", "")
        if value.isdecimal():
            return min(float(value), LONGEST_WAIT)
    return None


def _of_the_line(error: BaseException) -> bool:
    # Which library of requests is below depends on the version of huggingface_hub; the name does not.
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"TransportError", "ConnectionError", "TimeoutError"})


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
