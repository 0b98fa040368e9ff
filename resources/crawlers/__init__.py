"""Corpus sources, one class and file each; a source yields records, never decides about them."""
