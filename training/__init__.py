"""Datasets become adapters, in the prompt that employees will meet."""
