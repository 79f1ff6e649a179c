"""The one exception that users see as a message."""


class MinarchError(Exception):
    """Something that a user can mend; its text is one line, and every command prints it and exits with 1."""
