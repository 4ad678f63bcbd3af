"""A telemetry backend in a box, and what is measured on it: what arrives, costs, and fails."""
