"""Ground floor: settings, errors, database, accounts, jobs. Knows nothing of language models."""
