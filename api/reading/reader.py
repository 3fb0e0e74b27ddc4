"""The interface by which HTTP routes and access control reach the online features."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from api.answer.rows import Row
from api.plans.plan import Plan, Selection
from api.settings import ApiSettings
from streamflow.catalog.contract import Contract
from streamflow.catalog.model import Catalog, Service

Inputs = Mapping[str, Any]
NOTHING: Inputs = {}


class Answerable(NamedTuple):
    """Rows that were read, with what an answer is made of them by."""

    plan: Plan
    catalog: Catalog
    rows: list[Row]
    lag_s: float | None = None
    """Seconds that the replica may be behind; None where the primary was read."""


class Entities(Protocol):
    """Rows that a request asks for, whose join keys the plan of its features names."""

    def __len__(self) -> int:
        """The number of rows."""

    def arrays(self, plan: Plan, catalog: Catalog) -> Sequence[Sequence[Any]]:
        """The arguments of the plan's query; raises InvalidRequest."""


class FeatureReader(Protocol):
    """Reads online features: all of them (Features), or those of one caller (Caller)."""

    @property
    def settings(self) -> ApiSettings:
        """The settings of the service."""

    async def one(
        self,
        user_id: str,
        selection: Selection,
        expected: Sequence[str] = (),
        caller: str = "",
        inputs: Inputs = NOTHING,
    ) -> tuple[bytes, Plan]:
        """The answer for one user, and the plan that it was read by.

        Args:
            user_id: a text also where the join key is none.
            selection: the features that are asked for; an empty one is the default service.
            expected: hashes of contracts, of which each has to be the selection's, or all the same
                older one of its service, which is then answered by its own list.
            caller: the name of the caller's key, for the count of requests for older contracts.
            inputs: the values that computed features take from the request, by name.

        Raises:
            UnknownUser: no view has a row.
            UnknownName, Unservable, OtherKeys, ContractMismatch: the catalog is not for it.
            InvalidRequest: the id cannot be one.
            StaleFeatures: the values are too old to be answered.
            NotReady: they cannot be read now.
            Forbidden, RateLimited: the caller may not ask for them, or not now.
        """

    async def many(
        self,
        user_ids: Sequence[Any],
        selection: Selection,
        expected: Sequence[str] = (),
        caller: str = "",
        inputs: Inputs = NOTHING,
    ) -> tuple[bytes, Plan]:
        """The answer for many users, in one read, and its plan; raises as `one` does.

        Args:
            user_ids: as they stand in JSON.
            selection, expected, caller: as `one` takes them.
            inputs: by name, a value for all users, or a list of one for each.
        """

    async def rows(
        self, selection: Selection, expected: Sequence[str], entities: Entities, caller: str = ""
    ) -> Answerable:
        """The plan of a selection, the catalog, and the rows of `entities`.

        Raises as `one` does, and what `entities` raises.
        """

    async def service(self, name: str) -> tuple[Service, Contract]:
        """A feature service with its contract.

        Raises:
            UnknownName: the last catalog has no such service.
            NotReady: the catalog cannot be read now.
        """

    def catalog(self) -> Catalog:
        """The catalog that is served; raises NotReady where there is none."""

    async def ready(self) -> str | None:
        """Return when the default service can be read; with what is amiss nevertheless.

        The read began after this was called, and is shared by all who call meanwhile.

        Raises:
            NotReady: says why it cannot be read.
        """
