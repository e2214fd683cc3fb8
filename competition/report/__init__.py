"""The technical report of a run, as HTML, PDF and Word file, in English and Chinese."""
