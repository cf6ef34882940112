"""One script a claim; each prints ratios against a named peer in the same run."""
