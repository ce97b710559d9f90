"""A local dependency, importable by its own name."""

import humanize


def say(number: int) -> str:
    """A number in words."""
    return str(humanize.apnumber(number))
