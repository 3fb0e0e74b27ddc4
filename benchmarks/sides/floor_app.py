"""The floor of the HTTP service: the barest ASGI function, `python -m benchmarks.sides.floor_app`.

A row of one table by its primary key, one query for each request, from a pool of asyncpg, as
JSON by orjson. No validation, no metrics, no log, no error handling. asyncpg's pool sends a
reset after each use, a round trip that `--no-reset` leaves out. Without a table, the answer is a
constant: what the server costs before there is any work.
"""

import argparse
import os
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import orjson
import uvicorn

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
HEADERS = (b"content-type", b"application/json")


class Bare:
    """GET /features/USER answers with a row of `table`; POST /features with many."""

    def __init__(self, table: str, reset: bool = True) -> None:
        self.one = f"SELECT * FROM {table} WHERE user_id = $1"
        self.many = f"SELECT * FROM {table} WHERE user_id = ANY($1)"
        self.options: dict[str, Any] = {} if reset else {"reset": leave_as_it_is}
        self.pool: Any = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self.lifespan(receive, send)
            return
        if scope["method"] == "GET":
            row = await self.pool.fetchrow(self.one, scope["path"][10:])
            answer: Any = dict(row)
        else:
            body = orjson.loads(await whole_body(receive))
            answer = [dict(row) for row in await self.pool.fetch(self.many, body["user_ids"])]
        content = orjson.dumps(answer)
        length = (b"content-length", str(len(content)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [HEADERS, length]})
        await send({"type": "http.response.body", "body": content})

    async def lifespan(self, receive: Receive, send: Send) -> None:
        """Opens the pool at the start."""
        await receive()
        self.pool = await asyncpg.create_pool(min_size=8, max_size=8, **self.options)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.pool.close()
        await send({"type": "lifespan.shutdown.complete"})


async def constant(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answers every request with the same bytes."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    length = (b"content-length", b"2")
    await send({"type": "http.response.start", "status": 200, "headers": [HEADERS, length]})
    await send({"type": "http.response.body", "body": b"{}"})


async def leave_as_it_is(connection: Any) -> None:
    """Does nothing, in place of asyncpg's reset of a connection that is returned."""


async def whole_body(receive: Receive) -> bytes:
    """A request's body."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def main() -> None:
    """Serves until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--table")
    parser.add_argument("--no-reset", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("PGSSLMODE", "prefer")
    uvicorn.run(
        Bare(options.table, not options.no_reset) if options.table else constant,
        port=options.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
