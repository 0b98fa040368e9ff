"""Vectors: embedding texts, keeping vectors, finding the nearest."""
