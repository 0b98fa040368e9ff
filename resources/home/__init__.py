"""The home of a profile: tables, state, releases, published copies, review and audit files."""
