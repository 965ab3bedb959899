"""Jobs: resources, cost estimate, status and provenance."""
