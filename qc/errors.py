"""What can go wrong, from general to particular::

    QcError
      InvalidInput    what was sent makes no sense; the sender can fix it
      NotFound        no such inspection, task, model, process
      Conflict        it makes sense, but not in the present state
      Unavailable     a component we need (Label Studio, a disk, a worker) does not answer; try again later

A message is one sentence that names the thing, holds the numbers, and says what to do.
HTTP codes and exit codes are not this package's business; `server.errors` has the one table.
"""


class QcError(Exception):
    """Root of everything we raise on purpose; its text may be shown to a person."""

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidInput(QcError):
    """What was sent makes no sense; the sender can fix it."""


class NotFound(QcError):
    """There is no such thing."""


class Conflict(QcError):
    """It makes sense, but not in the present state."""


class Unavailable(QcError):
    """A component we need does not answer; the same request may work later."""
