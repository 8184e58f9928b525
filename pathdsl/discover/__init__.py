"""From scores to circuits: ACDC, certificates, roles, the records of rows, the files."""
