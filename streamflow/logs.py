"""One shape for every log line: time, level, logger, a fixed phrase, then data as fields."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from streamflow.errors import StreamflowError, reason
from streamflow.visible_text import printable

STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class FieldsFormatter(logging.Formatter):
    """`2024-02-01T00:00:00.000Z INFO jobs.ingest month loaded written=7043`, times in UTC.

    An error that is none of ours stands below the line with its traceback, or without
    `tracebacks` at its end, in the field `error`.
    """

    def __init__(self, tracebacks: bool = True) -> None:
        super().__init__()
        self.tracebacks = tracebacks

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, and perhaps a traceback."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = printable(record.getMessage())
        line = f"{time.replace('+00:00', 'Z')} {record.levelname} {record.name} {message}"
        for name, value in fields(record).items():
            line += f" {name}={text(value)}"
        # Prefect logs every failure with its traceback; ours say all in their message.
        error = record.exc_info[1] if record.exc_info else None
        if record.exc_info and error is not None and not isinstance(error, StreamflowError):
            line += (
                "\n" + self.formatException(record.exc_info)
                if self.tracebacks
                else f" error={text(reason(error))}"
            )
        return line


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that the caller passed as `extra`, in the order it was passed.

    Names that begin with `flow_run` or `task_run` are Prefect's own and not repeated.
    """
    return {
        name: value
        for name, value in record.__dict__.items()
        if name not in STANDARD
        and not name.startswith(("_", "flow_run", "task_run", "color_message"))
    }


def text(value: Any) -> str:
    """A field's value without ambiguity: quoted as JSON when it holds a blank or a quote."""
    plain = str(value)
    return (
        plain
        if plain and plain.isprintable() and not set(' "=') & set(plain)
        else json.dumps(plain)
    )


def configure(level: str = "INFO", tracebacks: bool = True) -> None:
    """Sends every logger's lines to standard error in this shape; libraries only warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldsFormatter(tracebacks))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("api", "explorer", "jobs", "streamflow"):
        logging.getLogger(name).setLevel(level)
