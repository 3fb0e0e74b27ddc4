"""`python -m benchmarks.scale`: measures the pipeline at several sizes and writes docs/scale.md.

A run with other sizes than the default ones writes its results beside instead.
"""

import argparse
import json
import signal
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import postgres
from benchmarks.__main__ import counts
from benchmarks.context import Context, Options, say
from benchmarks.scale import page, steps
from benchmarks.sides import repos
from jobs.run.versions import commit
from streamflow import settings

DOCS = Path(__file__).parents[2] / "docs"
SIZES = (100_000, 1_000_000, 10_000_000)


def main() -> int:
    """Measures what the command line asks for; each size is kept as soon as it is measured."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    arguments.add_argument("--sizes", type=counts, default=SIZES, help="numbers of users")
    arguments.add_argument("--seconds", type=float, default=10.0, help="of the load on the API")
    given = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all it started ends, too
    home = settings.streamflow().home / "benchmarks"
    home.mkdir(parents=True, exist_ok=True)
    results: dict[str, object] = {"started": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}
    with ExitStack() as stack:
        databases = stack.enter_context(postgres.databases(home))
        repos.make(home / "repos")
        results |= {"machine": postgres.machine(), "commit": commit()}
        context = Context(databases, home, Options(seconds=given.seconds), stack)
        sizes = {}
        for users in given.sizes:
            say(f"{users:,} users")
            sizes[str(users)] = steps.measure(context, users)
            results["sizes"] = sizes
            (home / "scale.json").write_text(json.dumps(results, indent=1) + "\n")
    if given.sizes == SIZES:
        page.write(DOCS, results)
    else:
        say(page.render(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
