"""Models and versions: configuration, discovery, loading, warm-up, unloading."""
