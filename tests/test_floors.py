"""The drawing of the house, kept true by reading the imports, and rules that reading can check."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "stable_diffusion_lab"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up. A file imports from lower floors and from its own family, never from a neighbour.
HOUSE = [
    {"bounds", "error"},
    {"extra", "ranks", "seeding"},
    {"batch", "layer"},
    {"file"},
    {"generator", "refiner", "objective.critic", "modality", "task", "fidelity"},
    {"draft", "inversion"},
    {"model"},
    {"article", "metric", "measure", "extractor"},
    {"objective", "adapt", "data"},
    {"refinement"},
    {"training"},
    {"command"},
    {"cli"},
    {"__main__", ""},
]
FLOORS = {family: floor for floor, families in enumerate(HOUSE) for family in families}
TORCH_FREE = [
    *("__init__", "__main__", "cli", "error", "bounds"),
    *(f"command.{name}" for name in ("allow", "check", "compose", "config_path", "explain", "help", "kind")),
    *(f"command.{name}" for name in ("nearest", "ranges", "schema", "signature")),
]
HEAVY = {"torch", "lightning", "numpy", "torchmetrics", "sklearn", "wandb", "PIL"}
UNSAFE = {"dill", "cloudpickle", "marshal", "shelve", "joblib"}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def family(module: str) -> str:
    prefixes = [key for key in FLOORS if key and (module == key or module.startswith(f"{key}."))]
    return max(prefixes, key=len, default="")


def imports(path: Path) -> list[str]:
    """Full names of the modules that a file imports, at the top or inside a function."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            whole = node.module == "stable_diffusion_lab"
            found += [f"{node.module}.{alias.name}" for alias in node.names] if whole else [node.module or ""]
    return found


def inside(module: str) -> str:
    return module.removeprefix("stable_diffusion_lab").removeprefix(".")


def calls(path: Path, name: str) -> list[ast.Call]:
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [node for node in nodes if ast.unparse(node.func) == name]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_come_from_lower_floors(path: Path) -> None:
    home = family(name_of(path))
    for module in imports(path):
        if module.split(".")[0] == "stable_diffusion_lab":
            other = family(inside(module))
            assert other == home or FLOORS[other] < FLOORS[home], f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_frameworks_stay_on_their_floors(path: Path) -> None:
    tops = {module.split(".")[0] for module in imports(path)}
    home = family(name_of(path))
    if home not in ("command", "cli"):
        assert not tops & {"hydra", "omegaconf"}
    if home not in ("training", "command"):
        assert not tops & {"lightning", "pytorch_lightning"}


@pytest.mark.parametrize("module", TORCH_FREE)
def test_the_way_to_an_error_message_is_free_of_torch(module: str) -> None:
    pending, seen = [module], set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        path = PACKAGE / (current.replace(".", "/") + ".py")
        if not path.is_file():
            path = PACKAGE / current.replace(".", "/") / "__init__.py"
        found = imports(path)
        assert not {it.split(".")[0] for it in found} & HEAVY, f"{module} reaches {current}: {found}"
        pending += [inside(it) for it in found if it.startswith("stable_diffusion_lab.")]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_unpickles_or_evaluates(path: Path) -> None:
    assert not {module.split(".")[0] for module in imports(path)} & UNSAFE
    assert set(re.findall(r"\bpickle(?:\.| import )(\w+)", path.read_text())) <= {"UnpicklingError"}
    for call in [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]:
        keywords = {it.arg: ast.unparse(it.value) for it in call.keywords}
        name = ast.unparse(call.func)
        assert name not in ("eval", "exec", "os.system", "compile"), ast.unparse(call)
        assert keywords.get("weights_only", "True") == "True", ast.unparse(call)
        assert keywords.get("allow_pickle", "False") == "False", ast.unparse(call)
        assert keywords.get("shell", "False") == "False", ast.unparse(call)
        assert name != "torch.load" or "weights_only" in keywords, ast.unparse(call)


def test_only_build_instantiates() -> None:
    names = ("instantiate", "hydra.utils.instantiate", "hydra.utils.get_object", "get_object")
    users = {name_of(path) for path in FILES for name in names if calls(path, name)}
    assert users == {"command.build"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_stay_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 250
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is too long"
