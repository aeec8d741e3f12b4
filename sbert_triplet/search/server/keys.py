"""Bearer keys from the environment, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping

from sbert_triplet.errors import InputError

VARIABLE = "SBERT_TRIPLET_KEYS"
SHORTEST = 16


class Keys:
    """Digests of the keys, never the keys themselves."""

    def __init__(self, keys: list[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Keys:
        """Keys in ``SBERT_TRIPLET_KEYS``, apart by commas or blanks. Raises InputError for a short one."""
        keys = re.split(r"[,\s]+", environment.get(VARIABLE, "").strip(", \t\n"))
        keys = [key for key in keys if key]
        for place, key in enumerate(keys, start=1):
            if len(key) < SHORTEST:
                raise InputError(
                    f"{VARIABLE}: key {place} has {len(key)} characters; {SHORTEST} or more are needed "
                    "(openssl rand -hex 24 makes one)"
                )
            if not key.isascii():
                raise InputError(f"{VARIABLE}: key {place} has characters that a header cannot carry")
        return cls(keys)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def admit(self, header: bytes | None) -> bool:
        """Whether ``Authorization: Bearer KEY`` names one of them; every one is compared."""
        scheme, _, given = (header or b"").partition(b" ")
        digest = _digest(given.strip())
        known = False
        for one in self._digests:
            known |= hmac.compare_digest(one, digest)
        return known and scheme.lower() == b"bearer"


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def is_loopback(host: str) -> bool:
    """Whether ``host``, as one listens on or a header names it, is this machine alone."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_of(header: str) -> str:
    """The host of a ``Host`` header, without its port."""
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0]
