"""API keys of requests: finds the owner of the key that a request has.

A key has 256 random bits, so that nobody finds it by trying, and a slow hash, which a password
needs, would add nothing.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import TypeVar

from api.errors import Unauthorized

LONGEST = 256
"""Bytes of a header with a key; ours have 54."""

T = TypeVar("T")


def digest_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The digest of the key that a request has.

    Raises:
        Unauthorized: it has none, several, or something else.
    """
    given = [value for name, value in headers if name == b"authorization"]
    if not given:
        raise Unauthorized("a key is needed, as the header Authorization: Bearer KEY", False)
    scheme, _, token = given[0].partition(b" ")
    token = token.strip()
    if len(given) > 1 or scheme.lower() != b"bearer" or not token or len(given[0]) > LONGEST:
        raise Unauthorized("the header Authorization is not Bearer KEY", True)
    return sha256(token).digest()


def owner_of(digest: bytes, known: Sequence[tuple[bytes, T]]) -> T:
    """The owner of the key with `digest`; takes as long for any key, so that time tells nothing.

    Raises:
        Unauthorized: no key has it.
    """
    found = None
    for one, owner in known:
        if compare_digest(one, digest):
            found = owner
    if found is None:
        raise Unauthorized("the key is not known here", True)
    return found
