"""The code location: puts assets, resources and profiles together, and computes nothing."""
