"""Rows at the doors: read from files, made by models, guarded, and removed again on request."""
