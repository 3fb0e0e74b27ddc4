"""Finds out if a training set is up to date, so that it need not be built again.

It is if the file is there, no month up to its day was loaded since it was built, its service has
the same features, these are defined alike, and the code that makes their values is the same.
"""

import json
from dataclasses import asdict
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamflow
from jobs.apply.plan import properties, registered
from jobs.run.earlier_runs import IS_OURS, done, nothing_to_do
from jobs.run.instants import iso, midnight
from jobs.run.ledger import shown_parameters
from jobs.run.versions import versions
from jobs.training import origins
from jobs.training.target import Target
from streamflow import training
from streamflow.errors import ConfigurationError
from streamflow.feast.registry.open import open_store
from streamflow.offline.features import Features
from streamflow.postgres.connect import connect

if TYPE_CHECKING:
    from feast import FeatureStore


LIBRARY = Path(streamflow.__file__).parent
RULES = (
    "training.py",
    "expressions/*.py",
    "feast/computed.py",
    "offline/**/*.py",
    "feast/training.py",
    "feast/offline/*.py",
    "feast/sources.py",
    "lake/*.py",
    "registry/*.py",
    "sources/*.py",
)
"""The library's files by which values are taken from their sources and joined."""


def built_before(as_of: date, service: str, out: str, **layout: Any) -> dict[str, Any] | None:
    """The summary of the run that built the training set at `out`; None where it is stale.

    Args:
        service: empty for the one that is meant where none is named.
        layout: the run's further parameters, by which the set is laid out.

    Raises:
        UnknownName: the registry has no such service.
        ConfigurationError: `out` is no place for a file.
    """
    parameters = {"as_of": as_of, "service": service, "out": out, **layout}
    wanted = json.dumps(shown_parameters(parameters), default=str)
    with connect() as connection:
        asked = done("training-set", wanted) | {"as_of": as_of.isoformat()}
        row = connection.execute(FRESH, asked).fetchone()
    target = Target(out)
    if row is None:
        return None
    try:
        manifest = target.description()
    except ConfigurationError:  # there is none, or one in the form of another version
        return None
    with training.features_of(service) as features:
        contract, definitions = features.contract, definitions_of(features)
    now = (contract.service, as_of.isoformat(), contract.hash)
    if (manifest.service, manifest.as_of, manifest.contract, manifest.definitions) != (
        *now,
        definitions,
    ):
        return None
    if manifest.lake and has_changed(manifest.lake["versions"], midnight(as_of)):
        return None
    return nothing_to_do(
        "training-set", row[0], f"run {row[0]} built {target.out} at {iso(row[1])}"
    )


def has_changed(versions: dict[str, int], instant: datetime) -> bool:
    """True where the lake has other rows at or before an instant than it had in these versions."""
    try:
        before = origins.present(versions)
    except ConfigurationError:  # it is another lake, or forgot them
        return True
    return before.until(instant) != origins.present().until(instant)


FRESH = f"""
    WITH built AS (
        SELECT run, started_at, finished_at FROM ops.runs
        WHERE command = %(command)s AND parameters = %(parameters)s::jsonb AND outcome = 'done'
          AND rows_written > 0 AND {IS_OURS}
        ORDER BY run DESC LIMIT 1)
    SELECT run, finished_at FROM built WHERE NOT EXISTS (
        SELECT FROM ops.runs AS loaded
        WHERE command = 'ingest' AND coalesce(parameters->>'as_of', '') <= %(as_of)s
          AND (outcome IN ('running', 'failed', 'killed') OR outcome = 'done' AND rows_written > 0)
          AND coalesce(loaded.finished_at, loaded.started_at + interval '1 day')
              > built.started_at)"""  # noqa: S608
"""The run that built it, unless a month up to its day may have changed since.

An ingest that was killed has no end; it may have stored its month, and ran no longer than a day."""


def definitions_of(features: Features) -> str:
    """Hashes the definitions and the code that features come from, to 16 hex digits."""
    if features.plain:
        found: Any = asdict(features.plain)
    else:
        with open_store() as store:
            found = registered_properties(store, features.contract.service)
    text = json.dumps([found, rules()], sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()[:16]


def registered_properties(store: "FeatureStore", service: str) -> dict[str, dict[str, str]]:
    """The registry's entries of a service, its views, those they are computed from, and sources.

    Without the intervals that were materialized.
    """
    objects = {key: properties(one) for key, one in registered(store).items()}
    found: dict[str, dict[str, str]] = {}
    names = {service}
    while names:
        of_these = {
            f"{kind} {name}": properties
            for (kind, name), properties in objects.items()
            if name in names and (kind != "feature service" or name == service)
        }
        mentioned = {text for one in of_these.values() for text in one.values()}
        found |= of_these
        known = {key.split(" ", 1)[1] for key in found}
        names = {name for _, name in objects if name in mentioned} - names - known
    return found


def rules() -> dict[str, str]:
    """Hashes of the files of code that values come from, and Feast's version.

    Any change of such a file counts: to build once too often costs time alone.
    """
    files = sorted(file for pattern in RULES for file in LIBRARY.glob(pattern))
    code = {str(file.relative_to(LIBRARY)): sha256(file.read_bytes()).hexdigest() for file in files}
    return code | {"feast": versions()["feast"]}
