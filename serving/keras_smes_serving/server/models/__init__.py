"""Which models and versions are served: configured, found, loaded, warmed up, unloaded."""
