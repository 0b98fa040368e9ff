"""Minutes of tests by marker, and the most that each marker may take in CI."""

from collections import Counter

# Sums over all workers. A test with several of these markers counts under the first.
BUDGETS = {"engine": 12, "train": 6, "pipeline": 25, "shared": 5, "other": 20}


class Minutes:
    """Sums the durations of a session's tests."""

    def __init__(self):
        self.seconds = Counter()

    def add(self, markers, seconds):
        """Count a phase of a test that has these markers, among other keywords."""
        name = next((name for name in BUDGETS if name in markers), "other")
        self.seconds[name] += seconds

    def lines(self):
        """What each marker took of its budget."""
        return [
            f"{name}: {self.seconds[name] / 60:.1f} of {BUDGETS[name]} minutes"
            for name in BUDGETS
            if self.seconds[name]
        ]

    def over(self):
        """Markers beyond their budget."""
        return [name for name in BUDGETS if self.seconds[name] > 60 * BUDGETS[name]]
