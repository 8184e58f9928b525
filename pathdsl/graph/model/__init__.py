"""What one model is made of: its layers and heads, what reads what, its components."""
