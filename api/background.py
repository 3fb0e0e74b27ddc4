"""Background tasks, which run from the start of the service to its end."""

import asyncio
import contextlib
from abc import ABC, abstractmethod


class BackgroundTask(ABC):
    """Work in an asyncio task of its own. Belongs to one event loop."""

    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to run."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Cancel the task; raises the error that ended it before, if one did."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @abstractmethod
    async def _run(self) -> None:
        """Run until cancelled."""
