"""What may be called where, with which arguments."""
