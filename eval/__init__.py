"""Every mode scored on the same held-out questions, with paired statistics."""
