"""A token bucket: limits how often something is done, in the long run and at once."""

import time
from collections.abc import Callable


class TokenBucket:
    """Tokens that come at a steady rate, of which an action takes one or several.

    An action that costs more than the bucket can hold is admitted when the bucket is full, and
    the rest is a debt: no batch is too large for ever, and in the long run nobody has more than
    the rate.
    """

    __slots__ = ("_burst", "_clock", "_filled", "_per_s", "_tokens")

    def __init__(
        self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            per_s: tokens that come every second.
            burst: tokens that the bucket can hold, and has at the beginning.
            clock: gives seconds.
        """
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._tokens, self._filled = float(burst), clock()

    def take(self, cost: int) -> float:
        """Take `cost` tokens and return 0; or take none and return the seconds until it can."""
        seconds = self.seconds_until(cost)
        if not seconds:
            self._tokens -= cost
        return seconds

    def seconds_until(self, cost: int) -> float:
        """Seconds until `cost` tokens can be taken, 0 for now."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._per_s)
        self._filled = now
        return max(min(cost, self._burst) - self._tokens, 0) / self._per_s
