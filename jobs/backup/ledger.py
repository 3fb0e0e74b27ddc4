"""Notes backups in the run ledger, so that the metrics know how old the newest one is."""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from jobs.run.ledger import Run, recorded
from streamflow.errors import StreamflowError
from streamflow.settings import names_a_database

log = logging.getLogger(__name__)


@contextmanager
def noted(command: str) -> Iterator[Run]:
    """A run of the ledger where the PG* variables name a database that has one.

    Elsewhere, and where that does not answer, a run that nobody enters: a dump has to be stored
    all the more when its database is gone.
    """
    with ExitStack() as stack:
        run = Run(command, {})
        if names_a_database(os.environ):
            try:
                run = stack.enter_context(recorded(command))
            except StreamflowError as error:
                log.warning("not noted in the ledger", extra={"reason": str(error)})
        yield run
