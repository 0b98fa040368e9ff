"""The outside world: one resource per service, each with an offline stand-in.

Nothing here decides about labels or data.
"""
