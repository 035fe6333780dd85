"""``python -m stable_diffusion_lab`` is ``sdlab``."""

import sys

from stable_diffusion_lab.cli import main

if __name__ == "__main__":
    sys.exit(main())
