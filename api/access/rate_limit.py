"""How many users a caller may ask for: a bucket of tokens that fills up again."""

import time
from collections.abc import Callable


class Bucket:
    """Tokens, of which a request takes one for each user it asks for.

    One that asks for more than the bucket can hold is admitted when it is full, and the rest is a
    debt: no batch is too large for ever, and in the long run nobody has more than the rate.
    """

    __slots__ = ("_burst", "_clock", "_filled", "_per_s", "_tokens")

    def __init__(
        self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            per_s: tokens that come every second.
            burst: tokens that it holds, and has at the beginning.
            clock: gives seconds.
        """
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._tokens, self._filled = float(burst), clock()

    def take(self, cost: int) -> float:
        """Takes `cost` tokens and gives 0; or takes none and gives the seconds until it could."""
        seconds = self.seconds_until(cost)
        if not seconds:
            self._tokens -= cost
        return seconds

    def seconds_until(self, cost: int) -> float:
        """The seconds until `cost` tokens can be taken, 0 for now."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._per_s)
        self._filled = now
        return max(min(cost, self._burst) - self._tokens, 0) / self._per_s
