"""Settings of the whole suite."""

from hypothesis import settings

# No deadline: the first call of a torch function is slow. Derandomised: a run of the suite is repeatable.
settings.register_profile("glidepath", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("glidepath")
