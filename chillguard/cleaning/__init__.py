"""Cleaning: who survives among candidates and rows of earlier releases."""
