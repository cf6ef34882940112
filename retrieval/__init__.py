"""Files become documents, chunks, an index, and passages that answer a query."""
