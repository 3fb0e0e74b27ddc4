"""The plans of selections that were asked for, kept while their catalog is the one served."""

from collections import OrderedDict
from collections.abc import Sequence

from api.errors import ContractMismatch, Unservable
from api.plans.plan import Plan, Selection
from api.plans.planning import older_plan_of, plan_of
from api.reading.counts import Asking
from streamflow.catalog.contract import service_by_default
from streamflow.catalog.known_contracts import Key, KnownContract
from streamflow.catalog.model import Catalog

MOST_PLANS = 64
"""The least recently used goes first; each may be as large as its selection."""
MOST_DIFFERENCES = 10
"""Differences between an older contract and what there is now that a refusal tells."""


class PlanCache:
    """Plans by selection; an empty selection is the service `default`."""

    def __init__(self, default: str) -> None:
        """
        Args:
            default: a feature service; empty for the one that the catalog means by default.
        """
        self._default = default
        self._plans: OrderedDict[Selection | Key, Plan] = OrderedDict()
        self._catalog: Catalog | None = None

    def find(
        self,
        catalog: Catalog,
        selection: Selection,
        expected: Sequence[str] = (),
        asking: Asking | None = None,
    ) -> Plan:
        """The plan of `selection`, whose contract has all the hashes that are expected.

        A contract that the service had before is answered by its own list.

        Args:
            asking: the request, which is told what it asks for; None for one of our own.

        Raises:
            UnknownName, Unservable: as plan_of does.
            ContractMismatch: the contract has another hash, and so has each that can be answered.
        """
        if catalog is not self._catalog:
            self._plans.clear()
            self._catalog = catalog
        plan = self._plans.get(selection)
        if plan is None:
            whole = selection
            if not (selection.service or selection.features):
                whole = Selection(self._default or service_by_default(catalog.services))
            try:
                plan = self._keep(selection, plan_of(catalog, whole))
            except Unservable:
                if whole.features or not any(
                    (whole.service, one) in catalog.older for one in expected
                ):
                    raise
                actual = catalog.services[whole.service].contract
                return self._older(catalog, whole.service, actual, expected, asking)
        else:
            self._plans.move_to_end(selection)
        for contract_hash in expected:
            if contract_hash != plan.hash:
                return self._older(catalog, plan.service, plan.hash, expected, asking)
        if asking is not None:
            asking.service, asking.contract, asking.is_superseded = plan.service, plan.hash, False
        return plan

    def _keep(self, key: Selection | Key, plan: Plan) -> Plan:
        self._plans[key] = plan
        if len(self._plans) > MOST_PLANS:
            self._plans.popitem(last=False)
        return plan

    def _older(
        self,
        catalog: Catalog,
        service: str,
        actual: str,
        expected: Sequence[str],
        asking: Asking | None,
    ) -> Plan:
        """The plan of an older contract of `service`; raises ContractMismatch."""
        asked = next(one for one in expected if one != actual)
        found = catalog.older.get((service, asked))
        if found is None or any(one != asked for one in expected):
            raise ContractMismatch(asked, actual, *unknown(catalog, service, asked))
        known, reasons = found
        if asking is not None:
            asking.service, asking.contract, asking.is_superseded = service, asked, True
        if known.ended or reasons:
            answerable = hashes(catalog, service)
            raise ContractMismatch(
                asked, actual, answerable, reasons[:MOST_DIFFERENCES], refusal(known, reasons)
            )
        plan = self._plans.get(known.key)
        if plan is None:
            return self._keep(known.key, older_plan_of(catalog, known))
        self._plans.move_to_end(known.key)
        return plan


def hashes(catalog: Catalog, service: str) -> list[str]:
    """The hashes that a service can be asked with, the present one first."""
    older = [
        hash_
        for (name, hash_), (known, reasons) in catalog.older.items()
        if name == service and not known.ended and not reasons
    ]
    return [catalog.services[service].contract, *older]


def unknown(catalog: Catalog, service: str, asked: str) -> tuple[list[str], tuple[()], str]:
    """Arguments of ContractMismatch for a hash that the service never had."""
    if not service:
        return [], (), ""
    known = hashes(catalog, service)
    others = sorted({name for name, one in catalog.services.items() if one.contract == asked})
    others += sorted({name for name, hash_ in catalog.older if hash_ == asked} - set(others))
    told = f"; that is a contract of {', '.join(others)}" if others else ""
    return known, (), f"; known of {service}: {', '.join(known)}{told}"


def refusal(known: KnownContract, reasons: Sequence[str]) -> str:
    """The reason why an older contract is not answered, in words that follow on its hash."""
    since = f", which was superseded on {known.superseded:%Y-%m-%d}"
    if known.ended:
        return f"{since} and ended on {known.ended:%Y-%m-%d}"
    shown = "; ".join(reasons[:MOST_DIFFERENCES])
    more = len(reasons) - MOST_DIFFERENCES
    further = f"; and {more} more" if more > 0 else ""
    return f"{since} and cannot be answered any more: {shown}{further}"
