"""How an answer is written: as a table for people, as JSON, as CSV."""
