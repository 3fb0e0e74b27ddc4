"""The compiled catalog: what the registry says, in the form that a reader of rows needs.

`apply` compiles it from Feast's registry (compile.py) and writes it into `ops.catalog` in the
transaction that migrates the online tables. The API reads it instead of Feast: this module
imports neither Feast nor a driver.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from streamflow.catalog.contract import Contract, Feature
from streamflow.catalog.known_contracts import Key as ContractKey
from streamflow.catalog.known_contracts import KnownContract, Stored, Views, differences
from streamflow.errors import ConfigurationError
from streamflow.expressions.tree import Tree

FORMAT = 2
"""The newest form of a document that this version reads; see Catalog.format."""
CHANNEL = "streamflow_catalog"
"""PostgreSQL notifies it, without a payload, when a transaction wrote another catalog."""
ONLINE_CHANNEL = "streamflow_online"
"""PostgreSQL notifies it with a table's name when a transaction wrote to that online table."""
FIRST = "ops.catalog"
"""The table with the catalog of the project that was applied first to a database."""
READ_FROM = "SELECT version, format, document FROM {} AS catalog"
"""One row, none before the first apply; {} is a relation. `version` counts up with every change."""
READ = READ_FROM.format(FIRST)
"""The same of the project that was applied first."""

TtlPolicy = Literal["serve", "null", "refuse"]


def relation_of(project: str) -> str:
    """The relation, in SQL, whose one row is the catalog of a project; of the first one for ""."""
    if not project:
        return FIRST
    quoted = project.replace("'", "''")
    return f"(SELECT * FROM ops.catalogs WHERE project = '{quoted}')"  # noqa: S608


class CatalogTooNew(ConfigurationError):
    """The catalog was written by a later version, in a form that this one cannot read."""


@dataclass(frozen=True)
class Key:
    """A join key: a column of the primary key of its online table, in the table's order."""

    name: str
    column: str
    type: str
    """PostgreSQL's type: text, bigint, integer, boolean, bytea."""


@dataclass(frozen=True)
class StoredFeature:
    """A feature of a view and the column that holds it."""

    name: str
    type: str
    """Feast's type: Int64, Float32, Bool, String, Array(Int64), UnixTimestamp, …"""
    column: str
    column_type: str
    """PostgreSQL's type of the column; `json` holds Feast's protobuf Value as its JSON."""
    description: str


@dataclass(frozen=True)
class View:
    """A feature view as it is stored: one table per set of join keys, shared by its views."""

    name: str
    table: str
    """In schema `online`."""
    keys: tuple[Key, ...]
    event_column: str
    """timestamptz; null where the view has no row for the key."""
    created_column: str
    features: tuple[StoredFeature, ...]
    description: str
    ttl_s: float
    """Feast's ttl in seconds, 0 for none."""
    ttl_policy: TtlPolicy
    """The treatment of a row older than its ttl: serve it, null its values, or refuse."""
    fresh_for_s: float
    """Age in seconds from which it is reported as stale: its ttl, else the tag
    `fresh_for_days`; 0 for never."""


@dataclass(frozen=True)
class ComputedFeature:
    """A feature that is computed when it is asked for."""

    name: str
    type: str
    expression: str
    tree: Tree
    """The expression as it is evaluated; its inputs are called as in ComputedView.inputs."""
    description: str


@dataclass(frozen=True)
class ComputedView:
    """A feature view of expressions over other views' features and values of the request."""

    name: str
    inputs: dict[str, tuple[str, str]]
    """By the name in expressions: the feature that is taken, as view and name."""
    join_keys: dict[str, dict[str, str]]
    """By view that it takes features of, as Projection has them."""
    request: dict[str, str]
    """By the names of the values that it takes from a request: Feast's type."""
    features: tuple[ComputedFeature, ...]
    description: str


@dataclass(frozen=True)
class Projection:
    """A view as a feature service uses it."""

    view: str
    alias: str
    """The name under which answers show it; the view's own where it has no alias."""
    join_keys: dict[str, str]
    """From the view's join key to the name under which requests give it; {} for the same."""
    features: tuple[str, ...]


@dataclass(frozen=True)
class Service:
    """A feature service: projections in order."""

    name: str
    description: str
    tags: dict[str, str]
    projections: tuple[Projection, ...]
    contract: str
    """Hash of its ordered features, as in a training set's manifest."""
    unservable: str = ""
    """The reason why tables alone cannot answer it: a view that Feast computes on demand."""


@dataclass(frozen=True)
class Catalog:
    """All that can be served."""

    version: int
    project: str
    views: dict[str, View] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    computed: dict[str, ComputedView] = field(default_factory=dict)
    registry: str = ""
    """A registry for Feast clients of the API, in base64, see client_registry.py; empty where an
    earlier version of StreamFlow applied."""
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    """By view and feature: the source and its column, see known.Stored; {} where an earlier version
    of StreamFlow applied."""
    known: tuple[KnownContract, ...] = ()
    """The contracts that the services have had, the present ones included; not in the document."""
    relation: str = FIRST
    """The relation that has it, see relation_of; not in the document."""

    @cached_property
    def contracts(self) -> dict[str, Contract]:
        """The services' contracts by name."""
        return {name: self._contract(service) for name, service in self.services.items()}

    def _contract(self, service: Service) -> Contract:
        features = []
        for projection in service.projections:
            known = self.features_of(projection.view)
            features += [
                replace(known[name], view=projection.alias)
                for name in projection.features
                if name in known
            ]
        return Contract(service.name, tuple(features))

    def features_of(self, view: str) -> dict[str, Feature]:
        """The features of a view by name, stored or computed; {} for one that is not served."""
        if found := self.views.get(view):
            stored = found.features
            return {one.name: Feature(view, one.name, one.type, one.description) for one in stored}
        computed = self.computed[view].features if view in self.computed else ()
        return {
            one.name: Feature(view, one.name, one.type, one.description, one.expression)
            for one in computed
        }

    @cached_property
    def stored(self) -> Views:
        """The features by view and name, computed ones as well."""
        return {
            view: {
                name: Stored(one.type, self.sources.get(view, {}).get(name, ""))
                for name, one in self.features_of(view).items()
            }
            for view in (*self.views, *self.computed)
        }

    @property
    def format(self) -> int:
        """The form of its document, which an older reader refuses where it could misread it."""
        return 2 if self.computed else 1

    @cached_property
    def older(self) -> dict[ContractKey, tuple[KnownContract, tuple[str, ...]]]:
        """The contracts that services had before, by service and hash.

        Each has the reasons why it cannot be answered (see known.differences), none where it can
        or has ended. What a service has now is not among them, nor are contracts of a service that
        is gone.
        """
        return {
            one.key: (one, () if one.ended else differences(one, self.stored))
            for one in self.known
            if one.superseded is not None
            and one.service in self.services
            and self.services[one.service].contract != one.hash
        }

    def document(self) -> str:
        """All but version, known contracts and relation, as JSON with sorted keys.

        Equal catalogs have equal texts.
        """
        content = {
            key: value
            for key, value in asdict(self).items()
            if key not in ("version", "known", "relation")
        }
        if not self.computed:
            del content["computed"]
        return json.dumps(content, sort_keys=True)


def parse(
    version: int,
    format_: int,
    document: str | dict[str, Any],
    known: Iterable[KnownContract] = (),
    relation: str = FIRST,
) -> Catalog:
    """The catalog of a row of `relation`, and the contracts of `ops.contracts`.

    Raises:
        CatalogTooNew: a later version of StreamFlow wrote it.
    """
    if format_ > FORMAT:
        raise CatalogTooNew(
            f"the catalog has format {format_}, this version reads up to {FORMAT}: "
            "roll out the API of the version that applied it"
        )
    content = json.loads(document) if isinstance(document, str) else document
    return Catalog(
        version=version,
        project=content["project"],
        views={
            name: View(
                **{
                    **view,
                    "keys": tuple(Key(**key) for key in view["keys"]),
                    "features": tuple(StoredFeature(**one) for one in view["features"]),
                }
            )
            for name, view in content["views"].items()
        },
        services={
            name: Service(
                **{
                    **service,
                    "projections": tuple(
                        Projection(**{**one, "features": tuple(one["features"])})
                        for one in service["projections"]
                    ),
                }
            )
            for name, service in content["services"].items()
        },
        computed={name: computed_view(one) for name, one in content.get("computed", {}).items()},
        registry=content.get("registry", ""),
        sources=content.get("sources", {}),
        known=tuple(known),
        relation=relation,
    )


def computed_view(content: dict[str, Any]) -> ComputedView:
    """A view of expressions as a document has it."""
    features = tuple(ComputedFeature(**one) for one in content["features"])
    inputs = {name: (view, feature) for name, (view, feature) in content["inputs"].items()}
    return ComputedView(**{**content, "inputs": inputs, "features": features})
