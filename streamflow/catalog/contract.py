"""The contract of a feature service: its features in order, each with its type."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass

PREFERRED = "churn_v1"
"""The service that is meant where none is named, in a project that has it."""


def service_by_default(services: Collection[str]) -> str:
    """The service that is meant where none is named: churn_v1, or the only one of a project."""
    return next(iter(services)) if len(services) == 1 else PREFERRED


@dataclass(frozen=True)
class Feature:
    """One feature of a service, in Feast's names."""

    view: str
    name: str
    type: str
    """Feast's type: Int64, Float32, Bool, String, …"""
    description: str
    expression: str = ""
    """Of a feature that is computed when it is asked for, its SQL."""

    @property
    def reference(self) -> str:
        """Feast's reference to the feature: `view:name`."""
        return f"{self.view}:{self.name}"


@dataclass(frozen=True)
class Contract:
    """A service's ordered features; two services with equal features have equal hashes."""

    service: str
    features: tuple[Feature, ...]

    @property
    def hash(self) -> str:
        """The first 16 hex digits of the sha256 over (view, name, type) in order.

        Of a computed feature its expression is among them.
        """
        spec = [
            [one.view, one.name, one.type, *([one.expression] if one.expression else [])]
            for one in self.features
        ]
        return hashlib.sha256(json.dumps(spec).encode()).hexdigest()[:16]

    @property
    def views(self) -> tuple[str, ...]:
        """The views it reads, each once, in order of first use."""
        return tuple(dict.fromkeys(feature.view for feature in self.features))

    def described(self) -> list[dict[str, str]]:
        """Its features as plain dictionaries, for a manifest or an answer."""
        found = (asdict(feature) for feature in self.features)
        return [
            {key: text for key, text in one.items() if text or key != "expression"} for one in found
        ]
