"""The report of a study: one HTML page that stands alone, LaTeX, Markdown, CSV, and figures."""
