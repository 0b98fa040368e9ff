"""The lineage: one file per stage, one asset group per file, thin functions.

An asset asks the domain what to do, a resource to do it, and returns a table. Nothing here opens a
file, calls a service or decides about a row.
"""
