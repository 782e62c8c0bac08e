"""The exporter's own HTTP endpoint."""
