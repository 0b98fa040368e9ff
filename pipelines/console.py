"""What the terminal shows of a run: one line for each thing that happens, no stack traces.

The traces of a failed step are in Dagster's log of the run.
"""

import logging

import dagster as dg


class _OneLine(logging.Formatter):
    """Of an event of Dagster the first line; of our own messages everything."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """The record as the terminal shows it."""
        told = self._inner.format(record)
        meta = getattr(record, "dagster_meta", {})
        return told.partition("\n")[0] if meta.get("dagster_event") else told


@dg.logger(
    config_schema={"log_level": dg.Field(str, default_value="INFO", is_required=False)},
    description="Lines on the terminal, in colour; a failed step is one line.",
)
def console(context: dg.InitLoggerContext) -> logging.Logger:
    """Dagster's own console logger without what follows the first line of an event."""
    inner = dg.colored_console_logger
    config = {"name": "dagster", "log_level": context.logger_config["log_level"]}
    made: logging.Logger = inner.logger_fn(dg.build_init_logger_context(config))
    for handler in made.handlers:
        if handler.formatter:
            handler.setFormatter(_OneLine(handler.formatter))
    return made
