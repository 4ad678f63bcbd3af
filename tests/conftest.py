"""The Hypothesis profile of this suite: the same examples on every run, and no clock in the verdict."""

from hypothesis import settings

settings.register_profile("gate", deadline=None, max_examples=60, derandomize=True, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile("gate")
