"""The technical report of a run, as HTML and PDF, in English and Chinese."""
