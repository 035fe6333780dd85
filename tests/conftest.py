"""Before anything imports torch."""

import os

# Some tests fork. A child of a process whose OpenMP threads have begun waits for them forever.
os.environ["OMP_NUM_THREADS"] = "1"
