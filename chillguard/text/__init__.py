"""Chinese text: comparing, language, near-duplicates, personal data, screening; no stage."""
