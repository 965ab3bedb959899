"""Built-in data sets: a module per source. To add one, add a module here and a line in the registry."""
