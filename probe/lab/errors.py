"""What the lab raises: each message says what is wrong and what to do about it."""


class LabError(Exception):
    """The lab cannot do what it was asked; the message names the remedy."""


class FaultError(LabError, ValueError):
    """A fault was asked for that does not exist or cannot be made; the message names what can."""
