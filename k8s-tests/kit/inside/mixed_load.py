"""Runs inside the cluster: asks all that the API answers, at a steady rate, and says how it went.

Usage: mixed_load.py URL RATE SECONDS USERS. Prints a JSON line every ten seconds and at the end:
seconds from the beginning, requests, failed (by reason), and the p50 and p99 of these ten seconds
in milliseconds.
"""

import asyncio
import collections
import json
import random
import sys
import time
from typing import Any

import httpx

EVERY_S = 10.0


async def main(url: str, rate: float, seconds: float, users: list[str]) -> None:
    """Sends requests at fixed times whether or not earlier ones were answered."""
    chosen = random.Random(7)
    durations: list[float] = []
    failed: collections.Counter[str] = collections.Counter()

    async def send_request(client: httpx.AsyncClient) -> None:
        method, path, body, expected = any_request(chosen, users)
        asked = time.monotonic()
        try:
            answer = await client.request(method, url + path, json=body)
        except httpx.HTTPError as error:
            failed[type(error).__name__] += 1
        else:
            if answer.status_code != expected:
                failed[str(answer.status_code)] += 1
            durations.append(time.monotonic() - asked)

    began = time.monotonic()
    sent, told = 0, EVERY_S
    async with httpx.AsyncClient(timeout=10) as client, asyncio.TaskGroup() as group:
        while sent < rate * seconds:
            await asyncio.sleep(max(0.0, began + sent / rate - time.monotonic()))
            group.create_task(send_request(client))
            sent += 1
            if time.monotonic() - began > told:
                tell(told, sent, failed, durations)
                told += EVERY_S
    tell(time.monotonic() - began, sent, failed, durations)


def any_request(chosen: random.Random, users: list[str]) -> tuple[str, str, Any, int]:
    """Method, path, body and the status to expect: mostly one user, some unknown, some batches."""
    kind = chosen.random()
    if kind < 0.7:
        return "GET", f"/features/{chosen.choice(users)}", None, 200
    if kind < 0.8:
        return "GET", f"/features/nobody-{chosen.randrange(1000)}", None, 404
    some = chosen.sample(users, 20)
    if kind < 0.9:
        return "POST", "/features", {"user_ids": some}, 200
    asked = {"feature_service": "churn_v1", "entities": {"user_id": some}}
    return "POST", "/get-online-features", asked, 200


def tell(at: float, sent: int, failed: dict[str, int], durations: list[float]) -> None:
    """Prints a line of what came since the last one."""
    ordered = sorted(durations) or [0.0]
    durations.clear()
    line = {
        "at": round(at, 1),
        "requests": sent,
        "failed": dict(failed),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 2),
        "p99_ms": round(ordered[len(ordered) * 99 // 100] * 1000, 2),
    }
    print(json.dumps(line), flush=True)


asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4].split(",")))
