"""What a renderer raises beyond ValueError for arguments that do not fit."""


class UnavailableError(RuntimeError):
    """A renderer's library or device is not on this machine."""


class MissingOutputError(ValueError):
    """A renderer was asked for something it does not make; the message names who does."""
