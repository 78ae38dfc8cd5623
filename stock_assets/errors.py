"""The one exception that is meant for the user; it imports nothing."""


class UserError(Exception):
    """Something the user can mend. The message is one line: what is wrong, where, and what to do."""
