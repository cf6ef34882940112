"""Pages and HTTP API. Translates; decides nothing."""
