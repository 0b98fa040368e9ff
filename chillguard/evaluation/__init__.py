"""Evaluation of classifiers: predictions (`predict`) and what they are worth (`metrics`)."""
