"""The error tree: what is raised when the probe itself cannot do its job.

::

    ProbeError
    ├── ConfigurationError    settings that cannot be used; lists every problem with its remedy
    ├── StateError            the state store cannot be reached, or holds what cannot be used
    │   └── StateConflict     somebody saved a newer state first; reload, fold, save again
    └── IllegalTransition     a move that the breaker's table does not have; a bug, never caught

A storage endpoint that is down raises nothing: it is data (see ``reading``).
"""


class ProbeError(Exception):
    """The probe cannot do its job; the message names the problem and its remedy."""


class ConfigurationError(ProbeError):
    """Settings that cannot be used: ``problems`` has a line for each, without secrets."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StateError(ProbeError):
    """The state store failed; ``error_type`` is from the closed list of ``reading`` or ``unreadable``."""

    def __init__(self, message: str, *, error_type: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class StateConflict(StateError):  # noqa: N818 - design vocabulary; it is expected and handled
    """The document changed since it was loaded."""

    def __init__(self, message: str = "the state was saved by another tick meanwhile") -> None:
        super().__init__(message, error_type="conflict")


class IllegalTransition(ProbeError):  # noqa: N818 - a bug, named after the move
    """The breaker was asked for a move that its table does not have."""
