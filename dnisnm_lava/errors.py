"""What can go wrong, in five kinds. Each is also the builtin error that it resembles.

Every message says who, what, how much, and what now, in one sentence.
"""


class DnisnmError(Exception):
    """Base of every error that this package raises on purpose."""


class UnsupportedModel(DnisnmError, TypeError):
    """An operation of the model has no exact meaning as populations and projections."""


class OutOfRange(DnisnmError, ValueError):
    """A value does not fit where it is asked to go."""


class BadFile(DnisnmError, ValueError):
    """A file is not what it claims to be, or may not be written."""


class BackendMissing(DnisnmError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class BackendFailed(DnisnmError, RuntimeError):
    """A simulator process died, hung, or ran past its deadline; its last words are in the message."""
