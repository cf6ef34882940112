"""What runs a language model, behind one protocol."""
