"""Where the configuration files are."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent

# Inside the package when it was installed from a wheel, beside it in a checkout.
CONF = next(path for path in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if path.is_dir())
