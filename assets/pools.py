"""Concurrency pools: what a host has once; runs that use the same one take turns."""

MODELS = "models"
VECTOR_STORE = "vector_store"
TRAINING = "training"
