"""The error of a broken invariant."""


class Violation(BaseException):
    """Something that must hold does not; nothing in the store catches it."""
