"""A study for readers: captions, tables, the HTML page, the archive."""
