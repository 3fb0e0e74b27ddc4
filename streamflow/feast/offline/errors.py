"""The errors that Feast has for entity rows which are refused, in place of the library's own."""

from collections.abc import Iterator
from contextlib import contextmanager

from feast.errors import (
    EntityDFNotDateTime,
    EntityTimestampInferenceException,
    FeastEntityDFMissingColumnsError,
    FeatureNameCollisionError,
)

from streamflow.errors import ConfigurationError
from streamflow.offline.join.refusals import EqualNames, NoJoinKey, NotATime, NoTimestamp


class NameCollision(ConfigurationError, FeatureNameCollisionError):
    """A column of the entity rows has the name of a feature; the answer could have one of both."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)


@contextmanager
def as_feast() -> Iterator[None]:
    """Turns refusals of entity rows into the errors that callers of Feast's SDK expect."""
    try:
        yield
    except NotATime as error:
        raise EntityDFNotDateTime() from error
    except NoTimestamp as error:
        raise EntityTimestampInferenceException(error.expected) from error
    except NoJoinKey as error:
        raise FeastEntityDFMissingColumnsError(error.keys, error.missing) from error
    except EqualNames as error:
        raise NameCollision(str(error)) from error
