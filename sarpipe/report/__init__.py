"""The report: one self-contained HTML page that says what was made and how good it is."""
