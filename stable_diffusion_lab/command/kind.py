"""Which config values an annotation admits, read from its syntax tree alone."""

import ast
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from stable_diffusion_lab import bounds


class Kind(NamedTuple):
    """A set of config values.

    Attributes:
        text: what the values are, for a message: ``"an integer >= 1"``.
        accepts: whether a plain value (number, string, list, dict, None) is one of them.
    """

    text: str
    accepts: Callable[[Any], bool]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_float(value: Any) -> bool:
    return _is_int(value) or (isinstance(value, float) and math.isfinite(value))


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value


def _bounded(alias: Any) -> Kind:
    base, limits = get_args(alias)
    plain = PLAIN[base.__name__]
    return Kind(f"{plain.text} {limits}", lambda value: plain.accepts(value) and value in limits)


ANYTHING = Kind("anything", lambda value: True)
NODE = Kind("a node with _target_", _is_node)
NODES = Kind("nodes by name", lambda value: isinstance(value, dict) and all(map(_is_node, value.values())))
PLAIN = {
    "Any": ANYTHING,
    "None": Kind("null", lambda value: value is None),
    "bool": Kind("true or false", lambda value: isinstance(value, bool)),
    "int": Kind("an integer", _is_int),
    "float": Kind("a finite number", _is_float),
    "str": Kind("a text", lambda value: isinstance(value, str)),
    "Path": Kind("a path", lambda value: isinstance(value, str)),
    "dict": Kind("a mapping", lambda value: isinstance(value, dict)),
    "list": Kind("a list", lambda value: isinstance(value, list)),
    "tuple": Kind("a list", lambda value: isinstance(value, list)),
    "Node": NODE,
    "OptionalNode": Kind("a node with _target_, or {}", lambda value: value == {} or _is_node(value)),
    "Nodes": NODES,
}
ALIASES = {name: it for name, it in vars(bounds).items() if get_origin(it) is Annotated}
BOUNDED = {name: _bounded(it) for name, it in ALIASES.items() if isinstance(get_args(it)[1], bounds.Bounds)}


def kind(annotation: ast.expr | None, other: Kind = NODE) -> Kind:
    """The values that an annotation admits.

    Args:
        annotation: its syntax tree; a missing annotation admits anything.
        other: what a name that is neither a plain type nor in ``bounds`` stands for: in this package a
            class, which a config gives as a node.
    """
    match annotation:
        case ast.Constant(value=None):
            return PLAIN["None"]
        case ast.Constant(value=str(text)):
            return kind(ast.parse(text, mode="eval").body, other)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union([kind(left, other), kind(right, other)])
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return (PLAIN | BOUNDED).get(name, other)
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            arguments = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _generic(name, arguments, other)
    return ANYTHING


def _generic(name: str, arguments: list[ast.expr], other: Kind) -> Kind:
    """A subscripted annotation such as ``Sequence[float]``."""
    match name:
        case "Literal":
            return _literal([ast.literal_eval(argument) for argument in arguments])
        case "Annotated":
            return kind(arguments[0], other)
        case "Optional":
            return _union([kind(arguments[0], other), PLAIN["None"]])
        case "Union":
            return _union([kind(argument, other) for argument in arguments])
        case "list" | "Sequence" | "Iterable":
            return _sequence(kind(arguments[0], other))
        case "Some":
            return _some(kind(arguments[0], other))
        case "tuple" if isinstance(arguments[-1], ast.Constant) and arguments[-1].value is Ellipsis:
            return _sequence(kind(arguments[0], other))
        case "tuple":
            return _fixed([kind(argument, other) for argument in arguments])
        case "dict" | "Mapping":
            return _mapping(kind(arguments[1], other))
    return other


def _union(kinds: Sequence[Kind]) -> Kind:
    text = " or ".join(dict.fromkeys(each.text for each in kinds))
    return Kind(text, lambda value: any(each.accepts(value) for each in kinds))


def _literal(options: list[Any]) -> Kind:
    text = f"one of {', '.join(map(str, options))}"
    return Kind(text, lambda value: any(type(value) is type(it) and value == it for it in options))


def _sequence(entry: Kind) -> Kind:
    return Kind(
        f"a list of which each entry is {entry.text}",
        lambda value: isinstance(value, list) and all(map(entry.accepts, value)),
    )


def _some(entry: Kind) -> Kind:
    several = _sequence(entry)
    return Kind(
        f"a list of one or more, each {entry.text}", lambda value: several.accepts(value) and len(value) > 0
    )


def _fixed(entries: Sequence[Kind]) -> Kind:
    def accepts(value: Any) -> bool:
        pairs = zip(entries, value, strict=True)
        return all(entry.accepts(it) for entry, it in pairs)

    text = f"a list of {len(entries)}: {', '.join(entry.text for entry in entries)}"
    return Kind(text, lambda value: isinstance(value, list) and len(value) == len(entries) and accepts(value))


def _mapping(entry: Kind) -> Kind:
    return Kind(
        f"a mapping to {entry.text}",
        lambda value: isinstance(value, dict) and all(map(entry.accepts, value.values())),
    )
