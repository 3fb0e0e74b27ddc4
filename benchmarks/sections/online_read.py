"""Online reads through Feast's SDK in one process."""

import itertools

from benchmarks import online_users
from benchmarks.context import Context, say
from benchmarks.figures import OURS, STOCK, Section
from benchmarks.sides.worker import Failed

MANY = 100
CALLS = {1: 100, MANY: 20}
"""Calls in a round, by users asked for."""
TARGETS = {1: 1.7, MANY: 3.0}


def measure(context: Context) -> Section:
    """Measures reads of one user and of a hundred, through Feast's SDK."""
    section = Section("Online read through Feast's SDK", [STOCK])
    section.notes = [
        "`get_online_features(…).to_dict()` of all fourteen features in one process and thread,"
        f" of {context.options.users:,} users that are online; some calls of one side, then of the"
        " other.",
    ]
    users = online_users.users_of(context)
    for (count, calls), by_list in itertools.product(CALLS.items(), (False, True)):
        form = "list of features" if by_list else "feature service"
        row = section.row(f"{count} user{'s' if count > 1 else ''} a call, by {form}", "ms")
        row.targets = {STOCK: TARGETS[count]}
        try:
            row.samples = context.worker(OURS).run(
                "online_read",
                online_users.prepared(context),
                ours=context.repo(OURS, "streamflow"),
                stock=context.repo(STOCK, "streamflow"),
                by_list=by_list,
                users=users[:count],
                rounds=context.options.rounds + 2,
                calls=calls,
            )
        except Failed as failure:
            row.missing = dict.fromkeys((OURS, STOCK), f"failed: {failure}")
        say(f"  {row.work}: {row.median(OURS)} ms, stock Feast {row.median(STOCK)} ms")
    return section
