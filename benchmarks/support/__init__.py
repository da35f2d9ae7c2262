"""What several benchmarks use: timing, tables, and the layers that they measure."""
