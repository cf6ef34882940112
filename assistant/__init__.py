"""Language model engines, prompts, answering, conversations, feedback."""
