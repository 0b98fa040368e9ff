"""Model roles: how they are asked, paid, bounded and kept in the ledger."""
