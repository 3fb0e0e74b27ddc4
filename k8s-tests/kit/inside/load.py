"""Runs inside the cluster: asks the API at a steady rate for a while, then says how it went.

Usage: load.py URL RATE SECONDS. It ends sooner where there is a file /tmp/enough. Prints one JSON
line: rate, requests, failed (by reason), contracts seen, when it began, the slowest request, the
longest time in which nothing succeeded, and when that was, and the first and the last failure, in
seconds from the beginning; and by how much the load itself was late at worst, which tells a server
that does not answer from a machine that stands still. A refused connection counts as failed: that
is what a client sees.
"""

import asyncio
import collections
import itertools
import json
import sys
import time
from pathlib import Path

import httpx

ENOUGH = Path("/tmp/enough")


async def main(url: str, rate: float, seconds: float) -> None:
    """Sends requests at fixed times whether or not earlier ones were answered."""
    failed: collections.Counter[str] = collections.Counter()
    contracts: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    failed_at: list[float] = []
    succeeded: list[float] = []
    durations: list[float] = []
    # A new connection each time, as the clients of a Service balance over its pods.
    limits = httpx.Limits(max_keepalive_connections=0, max_connections=200)

    async def send_request(client: httpx.AsyncClient) -> None:
        asked = time.monotonic()
        try:
            answer = await client.get(url)
        except httpx.HTTPError as error:
            failed[type(error).__name__] += 1
            failed_at.append(round(time.monotonic() - began, 1))
            return
        finally:
            durations.append(time.monotonic() - asked)
        if answer.status_code != 200:
            failed[str(answer.status_code)] += 1
            failed_at.append(round(time.monotonic() - began, 1))
            return
        body = answer.json()
        contracts[body["metadata"]["contract"]] += 1
        if body["features"]["monthly_fee"] != 65.5999984741211 and len(wrong) < 5:
            wrong.append(answer.text)
        succeeded.append(time.monotonic())

    late = 0.0
    began, start = time.monotonic(), time.time()
    async with httpx.AsyncClient(timeout=10, limits=limits) as client, asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            late = max(late, time.monotonic() - due)
            group.create_task(send_request(client))
            if number % int(rate) == 0 and ENOUGH.exists():
                break
    moments = sorted([began, *succeeded, time.monotonic()])
    gaps = [(later - earlier, earlier - began) for earlier, later in itertools.pairwise(moments)]
    summary = {
        "rate": rate,
        "requests": len(durations),
        "failed": dict(failed),
        "contracts": dict(contracts),
        "wrong": wrong,
        "failed_at_s": [min(failed_at), max(failed_at)] if failed_at else [],
        "began": start,
        "late_s": round(late, 2),
        "slowest_s": round(max(durations, default=0.0), 2),
        "longest_gap_s": round(max(gaps)[0], 2),
        "longest_gap_at_s": round(max(gaps)[1], 1),
    }
    print(json.dumps(summary), flush=True)


asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
