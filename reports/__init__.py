"""Pictures of a results store: one self-contained HTML page, and single figures."""
