"""What to run: path sets lowered to shared component copies, costed and printable. No torch."""
