"""The exceptions that are meant for the user, and how others are told in one line; it imports nothing."""


class UserError(Exception):
    """Something the user can mend. The message is one line: what is wrong, where, and what to do."""


class TransientError(UserError):
    """What may well be gone in a few minutes, such as a server that is busy: the step is tried again."""


def first_line(error: object) -> str:
    """The first line of a message; DuckDB's go on with hints and the statement."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
