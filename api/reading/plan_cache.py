"""The plans of selections that were asked for, kept while their catalog is the one served."""

from collections import OrderedDict
from collections.abc import Sequence

from api.errors import ContractMismatch
from api.plan import Plan, Selection, plan_of
from streamflow.catalog.model import Catalog

MOST_PLANS = 64
"""The least recently used goes first; each may be as large as its selection."""


class PlanCache:
    """Plans by selection; an empty selection is the service `default`."""

    def __init__(self, default: str) -> None:
        self._default = Selection(default)
        self._plans: OrderedDict[Selection, Plan] = OrderedDict()
        self._catalog: Catalog | None = None

    def find(self, catalog: Catalog, selection: Selection, expected: Sequence[str] = ()) -> Plan:
        """The plan of `selection`, whose contract has all the hashes that are expected.

        Raises:
            UnknownName, Unservable: as plan_of does.
            ContractMismatch: the contract has another hash.
        """
        if catalog is not self._catalog:
            self._plans.clear()
            self._catalog = catalog
        plan = self._plans.get(selection)
        if plan is None:
            is_empty = not selection.service and not selection.features
            plan = plan_of(catalog, self._default if is_empty else selection)
            self._plans[selection] = plan
            if len(self._plans) > MOST_PLANS:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(selection)
        for contract_hash in expected:
            if contract_hash != plan.hash:
                raise ContractMismatch(contract_hash, plan.hash)
        return plan
