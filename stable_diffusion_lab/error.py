"""Errors that a user can cause, and the exit code of each.

Every message answers three questions in one line: what is wrong, where, and what to do about it.
"""

from collections.abc import Sequence
from typing import ClassVar

_NAMED = 10  # of many problems


class LabError(Exception):
    """A failure with a known cause. Printed as one line without a traceback.

    Args:
        tag: short stable identifier such as ``"CFG-KEY"``, for searching and for scripts.
        message: what is wrong, where, and what to do.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, tag: str, message: str) -> None:
        super().__init__(message)
        self.tag = tag

    def __reduce__(self) -> "tuple[type[LabError], tuple[str, str]]":  # for other processes
        return type(self), (self.tag, self.args[0])

    def __str__(self) -> str:
        return f"error[{self.tag}]: {self.args[0]}"


class ConfigError(LabError):
    """The configuration or the command line is wrong."""

    exit_code = 2


class DataError(LabError):
    """A data set is missing, unreadable, too small or out of range."""

    exit_code = 3


class CheckpointError(LabError):
    """A checkpoint is missing, damaged or does not fit the configuration."""

    exit_code = 4


class DiskError(LabError):
    """The run folder cannot be written."""

    exit_code = 5


class DistributedError(LabError):
    """A process of a distributed run failed, hung or drifted apart from the others."""

    exit_code = 6


class NonFiniteError(LabError):
    """A loss or a weight is NaN or infinite."""

    exit_code = 7


class UnhealthyError(LabError):
    """A run was to be stopped when it stops learning what it should, and it did."""

    exit_code = 8


class RefusedError(LabError):
    """Something was refused because running it would not be safe."""

    exit_code = 9


class MemoryShortError(LabError):
    """The device or the machine has too little memory for what was asked."""

    exit_code = 10


def listed(problems: Sequence[str]) -> str:
    """The first ten problems, and how many more there are, in one line."""
    rest = len(problems) - _NAMED
    more = [f"and {rest} more"] if rest > 0 else []
    return "; ".join([*problems[:_NAMED], *more]).replace("\n", " ")
