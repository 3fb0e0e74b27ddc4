"""Computed features over HTTP: what expressions add to an answer of the features they take."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import load, online_users, postgres
from benchmarks.context import Context, say
from benchmarks.figures import OURS, Section
from benchmarks.sections.serving import PATH, Side, loaded
from benchmarks.sides import servers

PLAIN = "without expressions"
TARGET = 1 / 1.1
"""Of the median latency: at most 10 % more."""
CONNECTIONS = (8, 32)
DEFINITIONS = """
from feast import Field, RequestSource
from feast.types import Float64

from streamflow.feast import sql_feature_view

offer = RequestSource(name="offer", schema=[Field(name="quoted_fee", dtype=Float64)])
per_month = sql_feature_view(
    name="per_month",
    sources=[subs_profile_fv, usage_agg_30d_fv],
    schema=[Field(name=name, dtype=Float64) for name in ("fee_share", "paid", "hours", "skips")],
    expressions={
        "fee_share": "monthly_fee / NULLIF(months_active, 0)",
        "paid": "COALESCE(monthly_fee * months_active, 0)",
        "hours": "CASE WHEN unique_devices_30d > 0 THEN watch_hours_30d / unique_devices_30d END",
        "skips": "LN(1 + GREATEST(skips_7d, 0))",
    },
)
quoted = sql_feature_view(
    name="quoted",
    sources=[subs_profile_fv, offer],
    schema=[Field(name="rise", dtype=Float64)],
    expressions={"rise": "quoted_fee - monthly_fee"},
)
computed_v1 = FeatureService(name="computed_v1", features=[*VIEWS, per_month])
quoted_v1 = FeatureService(name="quoted_v1", features=[*VIEWS, per_month, quoted])
"""


def measure(context: Context) -> Section:
    """Measures one user a request, by the whole service and by the same with expressions."""
    section = Section("HTTP, computed features", [PLAIN])
    section.notes = [
        "One server process of ours, no cache but where it is said. Both sides ask for the same"
        " fourteen stored features; ours has four features beside them that are computed from"
        " these, and a fifth one from a value of the request where that is said.",
    ]
    users = online_users.users_of(context)
    database, repo = prepared(context)
    with ExitStack() as stack:
        fresh, kept = (
            stack.enter_context(servers.ours(database, context.home, repo, cache_users=size))
            for size in (0, 2 * len(users))
        )
        gets = {OURS: path_of("computed_v1", users), PLAIN: path_of("churn_v1", users)}
        posts = {
            OURS: asked("quoted_v1", users, quoted_fee=[59.5]),
            PLAIN: asked("churn_v1", users),
        }
        for server in (fresh, kept):
            server.wait(gets[OURS][0])
        for server, requests, what in (
            (fresh, gets, "one user"),
            (fresh, posts, "one user and a value of the request"),
            (kept, gets, "one user, cache warm"),
        ):
            sides = {side: Side(server, texts) for side, texts in requests.items()}
            for connections in CONNECTIONS:
                work = f"{what}, {connections} connections"
                if server is kept:
                    warm(sides)
                loaded(context, section, work, sides, connections)
                row = next(one for one in section.rows if one.work == f"{work}: p50")
                row.targets = {PLAIN: TARGET}
    return section


def prepared(context: Context) -> tuple[str, str]:
    """A copy of the users' database with the further services, and the repository of those."""
    name = context.databases.create("computed", online_users.prepared(context))
    own = Path(context.repo(OURS, "streamflow"))
    repo = own.with_name("ours-computed")
    repo.mkdir(exist_ok=True)
    for file in own.glob("*.*"):
        (repo / file.name).write_bytes(file.read_bytes())
    text = (own / "definitions.py").read_text()
    views = "VIEWS = [subs_profile_fv, usage_agg_30d_fv, payments_agg_90d_fv, support_agg_90d_fv]\n"
    (repo / "definitions.py").write_text(text + views + DEFINITIONS)
    say("applying computed features")
    context.worker(OURS).run("apply", name, side=OURS, repo=str(repo))
    with postgres.connect(name) as connection:
        online_users.vacuum(connection)
    return name, str(repo)


def warm(sides: dict[str, Side]) -> None:
    """Asks for every user once, so that the answers are kept."""
    for side in sides.values():
        side.server.load(side.requests, 8, 2)


def path_of(service: str, users: Sequence[str]) -> list[str]:
    """Requests of GET for a service, one for each user."""
    return [load.get(f"/features/{user}?service={service}") for user in users]


def asked(service: str, users: Sequence[str], **values: Any) -> list[str]:
    """Requests in Feast's protocol for a service, one for each user."""
    return [
        load.post(PATH, {"feature_service": service, "entities": {"user_id": [user], **values}})
        for user in users
    ]
