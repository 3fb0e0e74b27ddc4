"""Loads the definitions of the feature repository, and refuses what cannot be applied."""

import contextlib
import copy
import linecache
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import Connection

from streamflow import settings, team_code
from streamflow.errors import ConfigurationError, reason, shorten
from streamflow.feast.registry.open import repo_config

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig
    from feast.repo_contents import RepoContents


def load(repo: Path) -> "RepoContents":
    """Loads the definitions in the Python files of the folder `repo`, by Feast's own loader.

    Raises:
        ConfigurationError: the code does not load within its bounds, defines nothing, names a
            thing twice, or has an on-demand view that does not compute; says where. Or
            feature_store.yaml names stores that are not ours.
    """
    from feast import Project

    from streamflow.feast.registry.stock_apply import require_own_stores

    folder = repo.resolve()  # where it is, wherever this process stands
    require_own_stores(repo_config(folder))
    team_code.require_bounded(partial(parsed, folder), repo)
    try:
        contents = parsed(folder)
        is_empty = not any(objects_in(contents))
        if not contents.projects:  # then Feast takes that of feature_store.yaml
            contents.projects.append(Project(name=repo_config(folder).project))
    except (Exception, SystemExit) as error:
        raise ConfigurationError(
            f"{repo}: the definitions do not load: {team_code.where_it_failed(folder, error)}"
        ) from error
    if is_empty:
        raise ConfigurationError(
            f"{repo}: no Python file there defines an entity, a source, a view or a service;"
            " nothing was changed"
        )
    require_distinct(contents)
    require_computable(contents)
    return contents


def objects_in(contents: "RepoContents") -> Iterator[Any]:
    """All of Feast's objects that definitions have, but for the entity that Feast adds."""
    from feast.feature_view import DUMMY_ENTITY_NAME
    from feast.infra.registry.registry import FeastObjectType

    for several in FeastObjectType.get_objects_from_repo_contents(contents).values():
        yield from (one for one in several if one.name != DUMMY_ENTITY_NAME)


def parsed(folder: Path) -> "RepoContents":
    """Runs the Python files of a feature repository anew, and gives Feast's objects in them."""
    from feast.repo_operations import get_repo_files, parse_repo, py_path_to_module

    with contextlib.chdir(folder), on_path(folder):
        for file in get_repo_files(folder):
            sys.modules.pop(py_path_to_module(file), None)
        linecache.checkcache()  # from where Feast takes the text of functions
        return parse_repo(folder)


def require_distinct(contents: "RepoContents") -> None:
    """Refuses two different objects of a kind with one name, of which one would be lost.

    Raises:
        ConfigurationError: there are two such objects; names them.
    """
    from feast.infra.registry.registry import FeastObjectType

    for kind, several in FeastObjectType.get_objects_from_repo_contents(contents).items():
        first: dict[str, Any] = {}
        for one in several:
            other = first.setdefault(one.name, one)
            if other is not one and other != one:
                raise ConfigurationError(
                    f"{kind.value} {shorten(one.name)} is defined twice, differently; "
                    "nothing was changed"
                )


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Raises ConfigurationError in place of the errors with which Feast refuses definitions.

    Raises:
        ConfigurationError: it has refused them.
    """
    from feast.errors import FeastError

    try:
        yield
    except (FeastError, ValueError, TypeError, LookupError, AssertionError) as error:
        raise ConfigurationError(
            f"Feast does not apply the definitions: {reason(error)}"
        ) from error


def require_computable(contents: "RepoContents") -> None:
    """Refuses an on-demand view whose code fails with values that Feast makes up.

    Feast tries that as well, when it has begun to change the registry. A view is left to it whose
    inputs are not declared, since Feast infers those from the database first.

    Raises:
        ConfigurationError: there is such a view; names it.
    """
    for view in contents.on_demand_feature_views:
        inputs = view.source_feature_view_projections.values()
        if view.feature_transformation and all(one.features for one in inputs):
            try:
                copy.deepcopy(view).infer_features()
            except Exception as error:
                raise ConfigurationError(
                    f"on-demand feature view {view.name}: {reason(error)}; nothing was changed"
                ) from error


def require_fit(connection: Connection, contents: "RepoContents") -> None:
    """Refuses definitions that do not fit their sources, where those are in our offline store.

    Args:
        connection: inside a transaction, in which the schema is current.

    Raises:
        SourceMismatch: naming all faults.
        ConfigurationError: the offline store reads files, and a source is a table.
    """
    from streamflow.feast.offline import connect as offline_connection
    from streamflow.feast.offline.store import StreamflowOfflineStoreConfig
    from streamflow.feast.registry import source_check

    config, here = repo_config(), settings.postgres()
    store = config.offline_store
    if not isinstance(store, StreamflowOfflineStoreConfig):
        require_files(config, contents)
        return
    if (store.host, store.port, store.database) == (here.host, here.port, here.database):
        source_check.require_fit(connection, config, contents)
        return
    with offline_connection.connect(store) as other:
        source_check.require_fit(other, config, contents)


def require_files(config: "RepoConfig", contents: "RepoContents") -> None:
    """Refuses tables of PostgreSQL beside the offline store that Feast takes if none is named.

    Raises:
        ConfigurationError: with the line that feature_store.yaml needs.
    """
    from streamflow.feast.registry.source_check import wanted_of
    from streamflow.feast.registry.stock_apply import FEASTS_OFFLINE, OFFLINE_LINE

    views = [*contents.feature_views, *contents.stream_feature_views, *contents.label_views]
    if config.offline_config == FEASTS_OFFLINE and any(wanted_of(one, {}) for one in views):
        raise ConfigurationError(
            "sources are tables of PostgreSQL and the offline store reads files;"
            f" feature_store.yaml needs the line {OFFLINE_LINE}; nothing was changed"
        )


@contextlib.contextmanager
def on_path(folder: Path) -> Iterator[None]:
    """Puts a folder first on Python's import path."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
