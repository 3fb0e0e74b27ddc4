"""Statements about the state of the feature store: a sentence, how it is, and where it is from."""

from dataclasses import dataclass
from typing import Literal

State = Literal["good", "look", "bad", "open"]
"""Well; worth a look; not well; not known, or nothing to say yet."""
SIGNS: dict[State, str] = {"good": "●", "look": "▲", "bad": "■", "open": "○"}
"""A shape for each state, so that none is told by its colour alone."""
NAMES: dict[State, str] = {"good": "well", "look": "look", "bad": "not well", "open": "open"}
"""A word for each."""
ORDER: tuple[State, ...] = ("bad", "look", "open", "good")
"""The order in which a page has them."""


@dataclass(frozen=True)
class Statement:
    """A sentence about the feature store."""

    state: State
    text: str
    link: str
    """The page, or its part, that it comes from."""
    link_text: str

    @property
    def sign(self) -> str:
        """The shape of its state."""
        return SIGNS[self.state]

    @property
    def name(self) -> str:
        """The word for its state."""
        return NAMES[self.state]
