"""Hypothesis for the domain: the same examples in every run, and no clock."""

import hypothesis

hypothesis.settings.register_profile("domain", deadline=None, derandomize=True)
hypothesis.settings.load_profile("domain")
