"""What a report says of a file, as texts formatted once: made from its JSON object alone."""
