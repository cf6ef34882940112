"""The one tree of errors that a person can cause.

A message names the thing, the value received and the remedy. Anything that is not an
`InhouseError` is a defect or a fault: it is logged with an id and the person sees the id.

* InhouseError
  - InvalidInput      a value, file or data set that cannot be used
    + SettingsError   an environment variable or flag
    + DocumentError   a file that cannot become a document
    + DatasetError    training data or a question set
    + AdapterError    an adapter that does not fit or is damaged
  - NotFound          the named thing does not exist
  - Conflict          the thing exists already, or is busy
  - AccessDenied
    + SignInRequired  nobody is signed in, or the session has ended
    + SignInFailed    wrong name or password, or disabled
    + PermissionDenied
  - TooManyRequests   too much at once; says when to come back
  - WorkspaceError    the workspace cannot be used (read-only, newer version, in use)
    + StorageError    the disk takes no more: full, over its quota, or read-only
    + DamageError     the database was changed by something else than Inhouse, or lost
  - EngineError       a language model or embedder that cannot be loaded or run
  - Stopped           somebody asked the work to stop
"""


class InhouseError(Exception):
    """Base of every error whose message is meant for the person who caused it."""

    exit_code = 1

    @property
    def message(self) -> str:
        """The sentence to show."""
        return str(self)


class InvalidInput(InhouseError):
    """A value, file or data set that cannot be used."""

    exit_code = 2


class SettingsError(InvalidInput):
    """One or more settings are wrong; the message lists all of them."""


class DocumentError(InvalidInput):
    """A file that cannot become a document."""


class DatasetError(InvalidInput):
    """Training data or a question set that cannot be used."""


class AdapterError(InvalidInput):
    """An adapter that does not fit the model, or is damaged."""


class NotFound(InhouseError):
    """The named thing does not exist."""

    exit_code = 3


class Conflict(InhouseError):
    """The thing exists already, or is busy."""

    exit_code = 4


class AccessDenied(InhouseError):
    """The person may not do this."""

    exit_code = 5


class SignInRequired(AccessDenied):
    """Nobody is signed in, or the session has ended."""


class SignInFailed(AccessDenied):
    """Wrong name or password, or the account is disabled."""


class PermissionDenied(AccessDenied):
    """The account's role does not allow this."""


class TooManyRequests(InhouseError):
    """Too much at once, from one or from all; the message says when to come back."""

    exit_code = 8

    def __init__(self, message: str, retry_after_s: float) -> None:
        """`retry_after_s`: seconds after which another try makes sense."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class WorkspaceError(InhouseError):
    """The workspace cannot be used."""

    exit_code = 6


class StorageError(WorkspaceError):
    """The disk takes no more: full, over its quota, or read-only."""


class DamageError(WorkspaceError):
    """The database was changed by something else than Inhouse, or a part of it is lost."""


class EngineError(InhouseError):
    """A language model or embedder that cannot be loaded or run."""

    exit_code = 7


class Stopped(InhouseError):
    """Somebody asked the work to stop; what was finished before is kept."""

    exit_code = 130
