"""The one exception that is meant for the user, and how others are told in one line; it imports nothing."""


class UserError(Exception):
    """Something the user can mend. The message is one line: what is wrong, where, and what to do."""


def first_line(error: object) -> str:
    """The first line of a message; DuckDB's go on with hints and the statement."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
