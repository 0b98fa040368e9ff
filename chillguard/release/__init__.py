"""The release (paper section 3.3): sides, checks of integrity, card, audit, publishing."""
