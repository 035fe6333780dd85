"""Makes the file system fail at a chosen call."""

import io
import os
from collections.abc import Callable
from typing import Any

import pytest

from stable_diffusion_lab.file import atomic


class Shim:
    """Counts the file-system calls of a save and does something bad at the k-th, half-way through a write."""

    def __init__(self, fatal: int, fail: Callable[[], None]) -> None:
        self.calls, self.fatal, self.fail = 0, fatal, fail

    def count(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self.fatal:
                self.fail()
            return call(*args, **kwargs)

        return counted

    def write(self, file: io.BufferedWriter) -> Callable[[Any], int]:
        def half(data: Any) -> int:
            self.calls += 1
            if self.calls == self.fatal:
                file.raw.write(data[: len(data) // 2])
                self.fail()
            return file.write(data)

        return half

    def open(self, *args: Any) -> Any:
        self.calls += 1
        if self.calls == self.fatal:
            self.fail()
        return _File(open(*args), self)


class _File:
    def __init__(self, file: Any, shim: Shim) -> None:
        self.file = file
        self.write = shim.write(file)
        self.flush = shim.count(file.flush)
        self.fileno = file.fileno

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()


def install(patch: pytest.MonkeyPatch, fatal: int, fail: Callable[[], None]) -> Shim:
    shim = Shim(fatal, fail)
    patch.setattr(atomic, "open", shim.open, raising=False)
    for name in ("replace", "fsync", "open", "close"):
        patch.setattr(os, name, shim.count(getattr(os, name)))
    return shim
