"""The stages: plan, zoom, dream, align, splat, export. Values in, values out; only `graph` binds them to files."""
