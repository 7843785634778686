"""The stages: plan, zoom, dream, align, splat, export. Each takes values and returns values; `graph` binds them to files."""
