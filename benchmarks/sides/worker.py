"""Work that needs Feast, in processes of its own: each is `python -m benchmarks.sides.worker`.

A process does many tasks, so that Feast's import (seconds) belongs to no measurement. Each
task is a line of JSON, as is each answer.
"""

import json
import os
import select
import subprocess
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import postgres


class Failed(Exception):
    """A task failed or was not done in time; the text says how."""


class Worker:
    """A process that does tasks one after the other.

    Args:
        log: file for what it prints.
    """

    def __init__(self, log: Path) -> None:
        self._log = log.open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sides.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=postgres.environment("postgres"),
            text=True,
        )

    def run(self, task: str, database: str, *, timeout_s: float = 900, **given: Any) -> Any:
        """Does `task` of benchmarks/sides/tasks.py on `database` and gives its figures.

        Raises:
            Failed: it raised an error, or was not done in time; then the process is ended.
        """
        pipe, answers = self._process.stdin, self._process.stdout
        if pipe is None or answers is None or self._process.poll() is not None:
            raise Failed("the worker has ended")
        pipe.write(json.dumps({"task": task, "database": database, "given": given}) + "\n")
        pipe.flush()
        if not select.select([answers], [], [], timeout_s)[0]:
            self._process.kill()
            raise Failed(f"not done after {timeout_s:.0f} s")
        line = answers.readline()
        if not line:
            raise Failed(f"the worker ended with {self._process.wait()}")
        answer = json.loads(line)
        if "failed" in answer:
            raise Failed(answer["failed"])
        return answer["found"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()


def main() -> None:
    """Does the tasks that come in until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Feast prints is no answer
    from benchmarks.sides import tasks

    for line in sys.stdin:
        asked = json.loads(line)
        os.environ["PGDATABASE"] = asked["database"]
        try:
            answer = {"found": tasks.TASKS[asked["task"]](**asked["given"])}
        except Exception as error:
            traceback.print_exc()
            answer = {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    os._exit(0)  # Feast's threads and exit handlers have nothing left to do


if __name__ == "__main__":
    main()
