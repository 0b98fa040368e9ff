"""RAG prompt synthesis and benign twins (paper section 3.1, appendix C.1)."""
