"""HTTP, refused requests: the CPU that they take of the server, beside right ones."""

from collections.abc import Sequence

from benchmarks import load, online_users
from benchmarks.context import Context, say
from benchmarks.figures import OURS, Section
from benchmarks.sections.serving import PATH, of_service
from benchmarks.sides import servers

RIGHT = "a right answer"
CONNECTIONS = 8
TARGET = 1


def measure(context: Context) -> Section:
    """Measures refusals of each route beside the answers of the same route."""
    section = Section("HTTP, refused requests", [RIGHT])
    section.notes = [
        "CPU of our server process for one answer, without the database's; no cache. Beside each"
        " refusal stands the answer for one user by the same route, measured in turn.",
    ]
    users = online_users.users_of(context)
    database, repo = online_users.prepared(context), context.repo(OURS, "streamflow")
    with servers.ours(database, context.home, repo) as server:
        server.wait(load.get(f"/features/{users[0]}"))
        for work, refused, right in requests(users):
            row = section.row(work, "µs", targets={RIGHT: TARGET})
            for _ in range(context.options.rounds):
                for side, texts in ((OURS, refused), (RIGHT, right)):
                    found = server.load(texts, CONNECTIONS, context.options.seconds)
                    if bool(found["failed"]) != (side == OURS):
                        raise ValueError(f"{work}, {side}: {found['failed']:.0f} were refused")
                    row.add(side, found["server_cpu"])
            say(f"  {work}: {row.median(OURS):.0f} µs, {RIGHT} {row.median(RIGHT):.0f} µs")
    return section


def requests(users: Sequence[str]) -> list[tuple[str, list[str], list[str]]]:
    """Each kind of refusal: its name, requests that meet it, and right ones of the route."""
    one = [load.get(f"/features/{user}") for user in users]
    many = [load.post("/features", {"user_ids": [user]}) for user in users]
    online = [load.post(PATH, of_service("churn_v1", [user])) for user in users]
    other = [load.get(f"/features/{user}?contract={'0' * 16}") for user in users]
    return [
        ("404, an unknown user", [load.get(f"/features/{user}-x") for user in users], one),
        ("409, another contract", other, one),
        ("422, an unknown service", [load.get(f"/features/{u}?service=x") for u in users], one),
        ("422, a query that is not valid", [load.get(f"/features/{u}?x=1") for u in users], one),
        ("422, a body that is not valid", [load.post("/features", {"user_ids": ""})], many),
        ("422, Feast's protocol", [load.post(PATH, {"entities": {"user_id": ""}})], online),
    ]
