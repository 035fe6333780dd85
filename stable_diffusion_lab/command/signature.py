"""What a ``_target_`` takes, read from its source file without importing it."""

import ast
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from stable_diffusion_lab.command.nearest import hint
from stable_diffusion_lab.error import ConfigError

# Bases that bring no constructor parameters; any other base from elsewhere may take whatever it likes.
PLAIN_BASES = {"ABC", "Generic", "Module", "NamedTuple", "Protocol", "object"}

Definition = ast.ClassDef | ast.FunctionDef


class Parameter(NamedTuple):
    """One keyword parameter: its annotation, and whether it has no default."""

    annotation: ast.expr | None
    required: bool


class Signature(NamedTuple):
    """Keyword parameters by name; ``open`` if any other keyword is taken too."""

    parameters: dict[str, Parameter]
    open: bool = False


@cache
def signature(target: str) -> Signature:
    """The parameters of a class or function by its dotted name.

    Raises:
        ConfigError: if there is no such module, or nothing of that name is defined in it.
    """
    module, _, name = target.rpartition(".")
    path = _source(module)
    if path is None:
        raise ConfigError("CFG-TARGET", f"there is no module '{module}' for '{target}'")
    tree = _parse(path)
    found = _definition(tree, name)
    if found is None:
        names = [it.name for it in tree.body if isinstance(it, ast.ClassDef)]
        raise ConfigError("CFG-TARGET", f"'{module}' defines no '{name}'{hint(name, names)}")
    return _of_function(found) if isinstance(found, ast.FunctionDef) else _of_class(found, tree, module)


def _source(module: str) -> Path | None:
    """The module's file. Only the top-level package is looked up; the rest is walking folders."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top) if top else None
    if spec is None or (rest and not spec.submodule_search_locations):
        return None
    if not spec.submodule_search_locations:
        return Path(spec.origin) if spec.origin else None
    folders = [Path(folder).joinpath(*rest) for folder in spec.submodule_search_locations]
    files = [file for folder in folders for file in (folder.with_suffix(".py"), folder / "__init__.py")]
    return next((file for file in files if file.is_file()), None)


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _definition(tree: ast.Module, name: str) -> Definition | None:
    matches = (it for it in tree.body if isinstance(it, Definition) and it.name == name)
    return next(matches, None)


def _of_class(found: ast.ClassDef, tree: ast.Module, module: str) -> Signature:
    """Its own ``__init__``, or dataclass fields, or what its bases take."""
    init = [it for it in found.body if isinstance(it, ast.FunctionDef) and it.name == "__init__"]
    if init:
        return _of_function(init[-1], skip=1)
    inherited = [_of_base(base, tree, module) for base in found.bases]
    parameters = {key: value for each in reversed(inherited) for key, value in each.parameters.items()}
    if _has_fields(found):
        parameters |= dict(_fields(found))
    return Signature(parameters, any(each.open for each in inherited))


def _of_base(base: ast.expr, tree: ast.Module, module: str) -> Signature:
    name = _last(base)
    local = _definition(tree, name)
    if isinstance(local, ast.ClassDef):
        return _of_class(local, tree, module)
    home = _imported_from(tree, name)
    if home and home.split(".")[0] == module.split(".")[0]:
        return signature(f"{home}.{name}")
    return Signature({}, open=name not in PLAIN_BASES)


def _imported_from(tree: ast.Module, name: str) -> str | None:
    imports = (it for it in tree.body if isinstance(it, ast.ImportFrom) and it.level == 0)
    return next((it.module for it in imports if any(alias.name == name for alias in it.names)), None)


def _of_function(function: ast.FunctionDef, skip: int = 0) -> Signature:
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + list(given.defaults)
    pairs = [*zip(positional, defaults, strict=True)][skip:]
    pairs += zip(given.kwonlyargs, given.kw_defaults, strict=True)
    parameters = {
        argument.arg: Parameter(argument.annotation, default is None) for argument, default in pairs
    }
    return Signature(parameters, open=given.kwarg is not None)


def _has_fields(found: ast.ClassDef) -> bool:
    decorators = [it.func if isinstance(it, ast.Call) else it for it in found.decorator_list]
    return "dataclass" in map(_last, decorators) or "NamedTuple" in map(_last, found.bases)


def _fields(found: ast.ClassDef) -> Iterator[tuple[str, Parameter]]:
    for it in found.body:
        if isinstance(it, ast.AnnAssign) and isinstance(it.target, ast.Name):
            yield it.target.id, Parameter(it.annotation, it.value is None)


def _last(expression: ast.expr) -> str:
    """``nn.Module`` and ``Module[T]`` are ``Module``."""
    match expression:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value):
            return _last(value)
    return ""
