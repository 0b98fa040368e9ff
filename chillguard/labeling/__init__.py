"""The jury and the people beside it: votes, review, anchors, jury quality (paper section 3.2)."""
