"""Built-in data sets: a module per source. A new one is one module here and one line in the registry."""
