"""Prompt rewriting (paper section 3.1, appendix C.2): methods, transforms, calls, rows."""
