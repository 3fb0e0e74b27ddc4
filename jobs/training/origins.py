"""The origins of a training set's features and labels: the database, or one version of the lake."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from jobs.run.urls import without_secrets
from jobs.training import labels
from jobs.training.join import labels_query
from jobs.training.labels import NoLabels, require_labels
from streamflow import settings, snapshots, training
from streamflow.offline.features import Features
from streamflow.offline.spine.spine import Spine

if TYPE_CHECKING:
    from streamflow.lake.join import Lake

OriginName = Literal["database", "lake"]


@dataclass(frozen=True)
class Origin:
    """The features of a service, and the labels of its users."""

    features: Features
    lake: "Lake | None" = None
    """None for the database."""

    def labels(self, instant: datetime) -> str | Spine:
        """The labels of a month as a spine: a query, or rows.

        Raises:
            NoLabels: there are none.
        """
        if self.lake is None:
            require_labels(instant)
            return labels_query(instant)
        from streamflow.lake.labels import labels_of

        require_in_lake(self.lake, instant)
        return labels_of(self.lake, instant)

    def described(self) -> dict[str, Any]:
        """The place of the lake and the version of each table, for the manifest; else nothing."""
        if self.lake is None:
            return {}
        return {
            "url": without_secrets(settings.streamflow().lake_url),
            "versions": self.lake.versions,
        }


@contextmanager
def opened(
    service: str, origin: OriginName = "database", versions: dict[str, int] | None = None
) -> Iterator[Origin]:
    """Yields the features of a service from the database, or from the lake.

    Args:
        versions: those of the lake's tables; None for the present ones.

    Raises:
        UnknownName: the registry has no such service.
        ConfigurationError: there is no lake, or it has not what the service needs.
        StreamflowError: a file of the lake is gone, or another one.
    """
    with training.features_of(service) as features:
        yield of(features, origin, versions)


def of(features: Features, origin: OriginName, versions: dict[str, int] | None = None) -> Origin:
    """The same for features that are known; raises as `opened` does."""
    if origin == "database":
        return Origin(features)
    from streamflow.lake.join import features_of

    lake = present(versions)
    return Origin(features_of(lake, features), lake)


def present(versions: dict[str, int] | None = None) -> "Lake":
    """The lake as it is now, or in other versions; raises as `opened` does."""
    from streamflow.lake.join import lake

    return lake(snapshots.load(settings.streamflow().feature_repo), versions)


def require_in_lake(lake: "Lake", instant: datetime) -> None:
    """Raises NoLabels if the lake has no labels of `instant`."""
    if instant not in lake.labels:
        days = ", ".join(str(one.date()) for one in lake.labels) or "no day"
        raise NoLabels(
            f"the lake has no labels of {instant.date()}; it has those of: {days}"
            " (streamflow snapshot export)"
        )


def wait_for_labels(as_of: date, origin: OriginName) -> None:
    """Waits until the database or the lake has labels of a day; see labels.py."""
    if origin == "database":
        labels.wait_for_labels(as_of)
    else:
        labels.wait_for_labels(as_of, lambda instant: require_in_lake(present(), instant))
