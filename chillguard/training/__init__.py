"""Training of classifier and generator: what is trained is in `spec`, how in `run`.

Runs on a host without Dagster; torch, transformers and trl are imported only when it trains.
"""
