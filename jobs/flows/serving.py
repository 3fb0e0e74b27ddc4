"""Serves deployments: takes the runs that people ask for, and ends them with the process.

Prefect's own `serve` forgets its runs when SIGTERM ends it: they would be running for ever on its
page, and each would keep the one place that its deployment has. One process serves a deployment at
a time, which a lock in the database sees to. It is lost with a restart of the database, and nobody
else can have it as long as the process is alive and the database was not restarted.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner
from prefect.states import Crashed

from jobs.run import waiting
from streamflow.errors import StoreUnavailable
from streamflow.postgres.connect import connect, lock_key
from streamflow.postgres.locks import Keeper, keeping

UNENDED = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


WATCH_EVERY_S = 10


class EndingRunner(Runner):
    """A runner that cancels its runs when it is ended, and tells Prefect's server."""

    is_over = False
    """True when a signal ended it, and nobody wants another one."""

    def handle_sigterm(self, *_signal: object, **_more: object) -> None:
        """Begins to end; `start` returns when the runs have ended."""
        self.is_over = True
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(lambda: ending.add(loop.create_task(self.astop())))


ending: set[asyncio.Task[None]] = set()
"""Keeps the task that ends the runner from being collected meanwhile."""


def serve(deployments: Iterable[RunnerDeployment], say: Callable[[], None]) -> bool:
    """Serves deployments until SIGTERM or SIGINT; `say` is called when they can be started.

    Returns:
        True if the process has to begin anew, since Prefect's server was away or still is.

    Raises:
        StoreUnavailable: another process went on serving one of them for STREAMFLOW_WAIT_S.
    """
    # A run is `python -m prefect.engine` here, which would import whatever lies in this folder.
    os.environ["PYTHONSAFEPATH"] = "1"
    served = list(deployments)
    with only_server(str(one.name) for one in served):
        return asyncio.run(serve_until_ended(served, say))


async def serve_until_ended(deployments: list[RunnerDeployment], say: Callable[[], None]) -> bool:
    """Registers the deployments and runs what is asked for, until a signal ends that."""
    runner = EndingRunner(pause_on_shutdown=False)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, runner.handle_sigterm)
    identities = [await runner.aadd_deployment(one) for one in deployments]
    await end_runs_left_behind(identities)
    say()
    watch = asyncio.create_task(end_after_outage(runner, identities))
    try:
        await runner.start()
    except Exception:  # that of a task group, when it has asked in vain for a while
        if not await is_away():
            raise
        return True
    finally:
        watch.cancel()
    return not runner.is_over


async def end_after_outage(runner: EndingRunner, deployments: list[UUID]) -> None:
    """Ends a runner that was without Prefect's server, when that answers and no run is left.

    Prefect's runner gives up then, for good, to look for runs that somebody cancels on the page.
    """
    was_away = False
    while True:
        await asyncio.sleep(WATCH_EVERY_S)
        away = await is_away()
        was_away |= away
        if was_away and not away and not await unended_runs(deployments):
            await runner.astop()
            return


async def is_away() -> bool:
    """True if Prefect's server does not answer."""
    async with get_client() as client:
        return await client.api_healthcheck() is not None


async def unended_runs(deployments: list[UUID]) -> list[FlowRun]:
    """The runs of deployments that have begun and not ended."""
    of_these = DeploymentFilter(id=DeploymentFilterId(any_=deployments))
    unended = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(UNENDED)))
    async with get_client() as client:
        return await client.read_flow_runs(
            deployment_filter=of_these, flow_run_filter=FlowRunFilter(state=unended)
        )


async def end_runs_left_behind(deployments: list[UUID]) -> None:
    """Ends the runs of a process that was killed, and so frees their places."""
    async with get_client() as client:
        for run in await unended_runs(deployments):
            await client.set_flow_run_state(
                run.id, Crashed(message="the process that served it was killed; start it again")
            )


@contextmanager
def only_server(names: Iterable[str]) -> Iterator[None]:
    """Holds a lock for each name while its body runs; waits STREAMFLOW_WAIT_S for another's end.

    Raises:
        StoreUnavailable: another process has not ended by then.
    """
    with connect(autocommit=True) as connection, keeping(connection) as keeper:
        for name in names:
            waiting.until(partial(take, keeper, name), f"the end of another server of {name}")
        yield


def take(keeper: Keeper, name: str) -> None:
    """Takes the lock of a deployment's server, or raises StoreUnavailable where it is another's."""
    if keeper.take(lock_key(f"serve-flows {name}"), wait=False) == "busy":
        raise StoreUnavailable(
            f"another process serves {name} from this database: end it first, or give --suffix"
        )
