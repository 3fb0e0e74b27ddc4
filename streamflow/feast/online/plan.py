"""Requests of Feast's SDK as plans of reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from feast import FeatureView
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig

from streamflow.catalog.model import TtlPolicy
from streamflow.feast.online.values import reader
from streamflow.feast.registry.compile import ttl_of
from streamflow.feast.registry.layouts import layout_in
from streamflow.online.plan import Plan, ViewRead, plan_of

MOST_PLANS = 256
"""Requests of different shapes whose queries are kept."""


@dataclass(frozen=True)
class FeastViewRead(ViewRead):
    """The features that a request of Feast's SDK reads from one view."""

    view: Any
    """Feast's feature view, with its projection."""
    readers: tuple[Callable[[Value, Any], Any], ...]
    """Of `features`."""
    ttl: timedelta
    policy: TtlPolicy


FeastPlan = Plan[FeastViewRead]


class Plans:
    """The plans of requests, kept while Feast asks with the same views."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], tuple[FeastPlan, list[FeatureView]]] = {}

    def plan_for(
        self, config: RepoConfig, grouped_refs: Sequence[tuple[FeatureView, list[str]]]
    ) -> FeastPlan:
        """The plan for features of views, which Feast gives in an order that changes."""
        # Feast hands over the same view objects until its registry's cache is renewed; they
        # are kept with the plan, so that an id is not given to another one.
        key = tuple((id(view), *sorted(features)) for view, features in grouped_refs)
        kept = self._kept.get(key)
        if kept is None:
            plan = plan_of([read_of(config, view, features) for view, features in grouped_refs])
            if len(self._kept) >= MOST_PLANS:
                self._kept.clear()
            kept = self._kept[key] = plan, [view for view, _ in grouped_refs]
        return kept[0]


def read_of(
    config: RepoConfig, view: FeatureView, requested: Sequence[str] | None = None
) -> FeastViewRead:
    """The read of a view for the features that a request names; for none, of all features.

    Args:
        config: the project's.
        view: with the projection of the request.
        requested: features by name.

    Raises:
        KeyError: the view has no such feature.
    """
    layout = layout_in(config, view)
    types = {one.name: one.dtype.to_value_type().name for one in view.features}
    unknown = sorted(set(requested or ()) - types.keys())
    if unknown:
        raise KeyError(f"Feature {unknown[0]} not found in feature view {view.name}")
    features = tuple(name for name in layout.features if not requested or name in requested)
    aliases = view.projection.join_key_map
    return FeastViewRead(
        layout,
        features,
        tuple(aliases.get(key, key) for key in layout.join_keys),
        view,
        tuple(reader(types[name]) for name in features),
        *ttl_of(view, config.online_store.ttl_policy),
    )
