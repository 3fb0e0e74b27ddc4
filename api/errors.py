"""Errors that are answered instead of features; the tree goes on from streamflow/errors.py.

StreamflowError
├── NotReady                the service cannot answer now
│   └── Busy                too many requests wait already
├── Unauthorized            the request has no key, or none that is known
├── Forbidden               the key is known, but not for what is asked
├── RateLimited             the caller asked for more users than its limit allows
├── InvalidRequest          parts of a request that no catalog could make sense of
└── RefusedByCatalog        the catalog does not have what a request asks for
    ├── ContractMismatch    the caller expects other features than there are
    ├── OtherKeys           the features are found by other keys than one user's id
    └── Unservable          the online tables alone cannot answer the service
"""

import ssl
from collections.abc import Sequence

from streamflow.errors import (
    ConfigurationError,
    SchemaMissing,
    StoreUnavailable,
    StreamflowError,
)


class NotReady(StreamflowError):
    """The service cannot answer now; the message says why, without anything internal."""


class Busy(NotReady):
    """Too many requests wait already."""


class Unauthorized(StreamflowError):
    """The request has no key, or none that is known."""

    def __init__(self, why: str, was_given: bool) -> None:
        self.was_given = was_given
        """True if there was a header that could have held a key."""
        super().__init__(why)


class Forbidden(StreamflowError):
    """The key is known, but not for what is asked."""


class RateLimited(StreamflowError):
    """The caller asked for more users than its limit allows."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        """After which the same request is admitted, if it is the only one."""
        super().__init__(
            f"this caller has asked for as many users as it may; try again in {seconds} s"
        )


class InvalidRequest(StreamflowError):
    """Parts of a request that no catalog could make sense of."""

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        self.faults = tuple(faults)
        """Pairs of a place in the request, like `body.user_ids.0`, and the fault there."""
        super().__init__("; ".join(f"{where}: {what}" for where, what in faults))


class RefusedByCatalog(StreamflowError):
    """The catalog does not have what a request asks for."""


class ContractMismatch(RefusedByCatalog):
    """The caller expects other features than there are."""

    def __init__(
        self,
        expected: str,
        actual: str,
        known: Sequence[str] = (),
        differences: Sequence[str] = (),
        why: str = "",
    ) -> None:
        """
        Args:
            expected, actual: hashes of contracts.
            known: hashes that the service can be asked with.
            differences: between the list of `expected` and what there is now, a phrase each.
            why: `expected` is not answered, in words that follow on its hash.
        """
        self.expected, self.actual = expected, actual
        self.known, self.differences = tuple(known), tuple(differences)
        super().__init__(f"the features have contract {actual}, not {expected}{why}")


class OtherKeys(RefusedByCatalog):
    """The features are found by other keys than one user's id."""


class Unservable(RefusedByCatalog):
    """The online tables alone cannot answer the service."""


class Outdated(Exception):
    """Rows were read under another catalog than the one they were asked by."""

    def __init__(self, version: int) -> None:
        self.version = version
        """Of the catalog they were asked by."""
        super().__init__(f"catalog {version} is not the one there is")


class ProjectMissing(SchemaMissing):
    """The database was applied, and not by the project that is to be served."""

    def __init__(self, project: str) -> None:
        self.reason = f"project {project} was not applied to the database"
        super().__init__(
            f"{self.reason}; run: streamflow apply, or name one that was (STREAMFLOW_API_PROJECT)"
        )


class ReplicaRefused(StoreUnavailable):
    """A replica cannot be read, since it is not known to have what the primary had lately."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """
        Args:
            reason: in words for a client, the same as long as it lasts.
            detail: what changes meanwhile, in words that follow.
        """
        self.reason = reason
        super().__init__(reason + detail)


CERTIFICATE_FAULTS = {10: "has expired", 62: "is for another name", 64: "is for another name"}
"""Faults for which a certificate is refused, by OpenSSL's number (X509_V_ERR_…)."""


def lasting_reason(error: Exception) -> str:
    """The public reason without what changes while it lasts, so that it is logged once."""
    return error.reason if isinstance(error, ReplicaRefused) else public_reason(error)


def public_reason(error: Exception) -> str:
    """The reason for a failure in words for a client: no host, no statement, no driver's words."""
    if isinstance(error, NotReady | ReplicaRefused):
        return str(error)
    if isinstance(error, ProjectMissing):
        return error.reason
    if isinstance(error, SchemaMissing):
        return "nothing was applied to the database"
    if isinstance(error.__cause__, ssl.SSLCertVerificationError):
        fault = CERTIFICATE_FAULTS.get(error.__cause__.verify_code, "is not trusted")
        return f"the database's certificate {fault}"
    if isinstance(error, StoreUnavailable):
        return "the database does not answer"
    if isinstance(error, ConfigurationError):
        return "the service is not configured"
    return "the features could not be opened"
