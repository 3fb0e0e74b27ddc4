"""Audits served values: takes users at random and recomputes each value as training sees it.

The newest row that a view's last materialization could see should be online. A row whose instant
is after the view's watermark, or which was loaded after that materialization, is counted as not yet
materialized, not as skew. It changes nothing but the ledger, and may run beside any other command.
"""

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from psycopg import Connection

from jobs.audit.older import only_in_older
from jobs.audit.served import Served, WholeServicesOnly, from_api, from_store
from jobs.audit.tally import Tally
from jobs.audit.trained import NEVER, SourceRows, Watermark, recomputed, source_rows, watermarks
from jobs.run.ledger import Run
from streamflow.catalog.contract import Contract
from streamflow.errors import StreamflowError, VerificationFailed
from streamflow.feast.registry.contracts import contract_of
from streamflow.feast.registry.open import open_store
from streamflow.postgres import clock as ahead
from streamflow.postgres.connect import connect

if TYPE_CHECKING:
    from feast import FeatureStore

log = logging.getLogger(__name__)

ATTEMPTS = 5
"""Attempts, since a materialization may come between reading served values and recomputing them."""


def audit(run: Run, service: str, users: int, seed: int, url: str, threshold: float) -> None:
    """Compares the served values of some users bit for bit with the snapshots.

    Enters in ops.skew, for each feature, how many users were compared and in how many it
    differs. A user without a row online differs in every feature that it has offline.
    Features that only older contracts have are compared as well.

    Args:
        run: its counts, message and details are filled in. One that the ledger does not have
            enters nothing in ops.skew either.
        users: how many of the known users; `seed` decides which.
        url: of the API; empty: what is online is read through Feast's SDK.
        threshold: the largest share of users in which a feature may differ.

    Raises:
        VerificationFailed: a feature differs in more; names it and the first user.
        UnknownName: the registry has no such service.
        StreamflowError: the API does not answer, or serves other features.
    """
    with connect(autocommit=True) as connection, open_store() as store:
        contract = contract_of(store, service)
        chosen = [user for (user,) in connection.execute(CHOOSE, [str(seed), users])]
        run.counts.read = len(chosen)
        if not chosen:
            run.message = "no user is known: nothing to audit"
            return
        tally = compare(connection, store, contract, chosen, url)
        left_out = take_older(connection, store, contract, chosen, url, tally)
        if run.number:
            record(connection, run.number, tally)
    run.counts.unchanged = len(chosen) - len(tally.users)
    run.message = "; ".join(filter(None, [tally.message(), left_out]))
    run.details = {"skew": tally.shares(), "pending": tally.pending}
    log.info("audited", extra={"users": len(chosen), "differing": len(tally.users), "seed": seed})
    if tally.worst() > threshold:
        raise VerificationFailed(f"{run.message}; first: {tally.first}")


def take_older(
    connection: Connection,
    store: "FeatureStore",
    contract: Contract,
    users: list[str],
    url: str,
    tally: Tally,
) -> str:
    """Adds to a tally the features that are answered by contracts of before alone.

    Returns:
        Why they could not be compared; empty where they were, or there are none.
    """
    older = only_in_older(connection, store, contract)
    if not older.features:
        return ""
    try:
        tally.take(compare(connection, store, older, users, url))
    except WholeServicesOnly:
        names = ", ".join(one.reference for one in older.features)
        return f"not compared, since the key may not ask for single features: {names}"
    return ""


def record(connection: Connection, run: int, tally: Tally) -> None:
    """Enters the counts of an audit in ops.skew, a row for each feature."""
    for reference, count in tally.features.items():
        view, _, feature = reference.partition(":")
        values = [run, view, feature, count.compared, count.differing, count.pending]
        connection.execute(RECORD, values)


CHOOSE = "SELECT user_id FROM source.users ORDER BY md5(user_id || %s) LIMIT %s"
"""Users at random, the same ones for the same seed."""

RECORD = """
    INSERT INTO ops.skew (run, view, feature, compared, differing, pending)
    VALUES (%s, %s, %s, %s, %s, %s)"""
"""Enters one feature of one audit."""


def compare(
    connection: Connection, store: "FeatureStore", contract: Contract, users: list[str], url: str
) -> Tally:
    """Compares all features of the users, in a time without a materialization."""
    for _ in range(ATTEMPTS):
        marks = watermarks(connection, store, contract)
        served = from_api(url, contract, users) if url else from_store(store, contract, users)
        seen = source_rows(connection, store, contract, users, marks)
        limit = ahead.limit(connection)
        tally = tally_of(store, contract, users, served, marks, seen, limit)
        if watermarks(connection, store, contract) == marks:
            return tally
        log.info("materialized meanwhile, audited again")
    raise StreamflowError(f"materialized {ATTEMPTS} times during the audit; try again later")


def tally_of(
    store: "FeatureStore",
    contract: Contract,
    users: list[str],
    served: dict[str, Served],
    marks: dict[str, Watermark],
    seen: dict[str, dict[str, SourceRows]],
    limit: datetime,
) -> Tally:
    """Compares served with recomputed values, view by view."""
    tally = Tally(contract, limit)
    for view in contract.views:
        mark = marks.get(view, NEVER)
        if mark is NEVER and not any(served[user].as_of.get(view) for user in users):
            tally.leave_out(view, list(seen[view]))
            continue
        times = [expected_at(view, served[user], mark, seen[view].get(user)) for user in users]
        trained = recomputed(store, contract, view, users, times)
        for user in users:
            tally.add(view, user, served[user], trained[user], seen[view].get(user))
    return tally


def expected_at(view: str, served: Served, mark: Watermark, seen: SourceRows | None) -> datetime:
    """The instant as of which to recompute a user's view: that of the row that should be online."""
    as_of = served.as_of.get(view)
    if as_of is not None and as_of > mark.until:  # it was pushed
        return as_of
    return (seen and seen.event) or NEVER.until
