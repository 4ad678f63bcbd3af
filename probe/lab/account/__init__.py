"""Azure Storage in a box: two Azurites, replication between them, and before each a proxy that fails."""
