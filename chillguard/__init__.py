"""The domain: pure functions and their configs; the same input and seed give the same output.

No orchestrator, no network, no environment variables; torch only in training and prediction.
"""
