"""Materializes by Feast what only Feast can compute, or say, of a view."""

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jobs.materialization.outcomes import Outcome, add_outcomes, log_outcomes, outcome_of
from jobs.run.result import Counts, Run
from streamflow.errors import ConfigurationError, UnknownName
from streamflow.feast.registry.open import translated

if TYPE_CHECKING:
    from feast import FeatureStore


def views_to_materialize(store: "FeatureStore", names: Sequence[str]) -> list[str]:
    """The feature views to materialize: those called `names`, or all that are served.

    Also stream feature views, and on-demand ones that are kept online.

    Raises:
        UnknownName: there is no such view, or it is one whose rows are pushed (labels) or
            computed when it is read.
    """
    store.refresh_registry()
    known = {
        view.name: view
        for view in store.list_all_feature_views()
        if hasattr(view, "materialization_intervals") or is_on_demand(view)
    }
    for name in names:
        if name not in known:
            raise UnknownName("feature view", name, known)
        if not is_served(known[name]):
            raise ConfigurationError(
                f"feature view {name} is not served (online=False): nothing to do for it"
            )
    return sorted(
        names or (name for name, view in known.items() if view.enabled and is_served(view))
    )


def is_served(view: Any) -> bool:
    """True if a view is kept online, also one that is computed from others."""
    return is_on_demand(view) or bool(view.online)


def is_on_demand(view: Any) -> bool:
    """True if a view is computed on demand from others and kept online as well."""
    return bool(getattr(view, "write_to_online_store", False))


def materialize_views(
    store: "FeatureStore",
    start: datetime,
    end: datetime,
    views: list[str],
    force: bool,
    run: Run | None = None,
) -> None:
    """Materializes `views` by Feast, logs the counts of each, and adds them to `run`.

    A view that fails leaves the others done; the first error is raised when all were tried.
    """
    # Feast prints its progress: useful on a terminal, noise in a log.
    os.environ.setdefault("TQDM_DISABLE", "" if sys.stderr.isatty() else "1")
    store.config.online_store.force = force
    engine, online = store._get_provider().batch_engine, store._get_provider().online_store
    engine.origin = "database"  # Spark's would read the lake
    outcomes: dict[str, Outcome] = {}
    errors = []
    for group in feast_calls(store, views):
        engine.results, before = {}, dict(online.rows_written)
        try:
            with translated(), contextlib.redirect_stdout(io.StringIO()):
                store.materialize(start, end, group)
        except Exception as error:
            errors.append(error)
        found = {name: outcome_of(result) for name, result in engine.results.items()}
        for name in online.rows_written.keys() & set(group) - found.keys():
            count = online.rows_written[name] - before.get(name, 0)
            found[name] = Outcome("feast", Counts(count, count))
        outcomes |= dict(sorted(found.items()))
    log_outcomes(outcomes, start, end)
    if run is not None:
        add_outcomes(run, outcomes)
    if errors:
        raise errors[0]


def feast_calls(store: "FeatureStore", views: list[str]) -> list[list[str]]:
    """Groups views into calls of Feast, which ends one at the first on-demand view that fails."""
    known = {view.name: view for view in store.list_all_feature_views()}
    computed = [name for name in views if is_on_demand(known[name])]
    stored = [name for name in views if name not in computed]
    return [*([stored] if stored else []), *([name] for name in computed)]
