"""The machine's own floor: what PostgreSQL and an ASGI server give it before there is any work.

Of a few seconds, so that every run has it: figures of two runs compare as their floors do.
"""

from pathlib import Path

from benchmarks import load, postgres
from benchmarks.postgres import Databases
from benchmarks.sides import pgbench, servers

ROWS, CONNECTIONS, SECONDS = 10_000, 8, 2.0
SCRIPT = f"\\set id random(1, {ROWS})\nSELECT * FROM narrow WHERE id = :id;\n"


def measure(databases: Databases, logs: Path, seconds: float = SECONDS) -> dict[str, float | str]:
    """Measures the rows a second that PostgreSQL gives, and the constant answers of a server.

    Returns:
        rows_per_s (or, in words, why it was not measured) and answers_per_s.
    """
    name = databases.create("machine")
    with postgres.connect(name) as connection:
        connection.execute(
            "CREATE TABLE narrow AS SELECT id, md5(id::text) AS value"
            f" FROM generate_series(1, {ROWS}) AS id"
        )
        connection.execute("ALTER TABLE narrow ADD PRIMARY KEY (id)")
        connection.execute("VACUUM (ANALYZE) narrow")
    rows = pgbench.rate(name, [SCRIPT], CONNECTIONS, seconds)
    request = load.get("/")
    with servers.constant(name, logs) as server:
        server.wait(request)
        answers = server.load([request], CONNECTIONS, seconds)["rate"]
    databases.drop(name)
    return {"rows_per_s": rows, "answers_per_s": answers}
