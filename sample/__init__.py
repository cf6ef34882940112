"""The demonstration company: Asdfg Financial, which does not exist."""
