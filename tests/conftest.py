"""Settings of the whole suite."""

import os

# One thread, in the processes that tests start too: the tensors are small, and `-n auto` fills the cores.
# It is read once, when torch is imported. Whoever wants to see the suite on several threads sets it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

# No deadline: the first call of a torch function is slow. Derandomised: a run of the suite is repeatable.
settings.register_profile("glidepath", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("glidepath")
