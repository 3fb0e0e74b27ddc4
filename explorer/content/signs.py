"""States in words and shapes, so that none is told by its colour alone."""

from typing import Literal

State = Literal["good", "look", "bad", "open"]
"""Well; worth a look; not well; not known, or nothing to say yet."""
SIGNS: dict[State, str] = {"good": "●", "look": "▲", "bad": "■", "open": "○"}
"""A shape for each."""
NAMES: dict[State, str] = {"good": "well", "look": "look", "bad": "not well", "open": "open"}
"""A word for each."""
ORDER: tuple[State, ...] = ("bad", "look", "open", "good")
"""The order in which a page has them."""
