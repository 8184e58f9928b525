"""What "check a file" means: from a path on disk to judged claims, and what is said about them."""
