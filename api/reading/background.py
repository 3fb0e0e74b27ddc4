"""Work that goes on beside the requests, from the start of the service to its end."""

import asyncio
import contextlib
from abc import ABC, abstractmethod


class Background(ABC):
    """Follows something that changes, in a task of its own. Belongs to one event loop."""

    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to follow."""
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Ends that; raises what ended it before."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @abstractmethod
    async def _follow(self) -> None:
        """Goes on until it is cancelled."""
