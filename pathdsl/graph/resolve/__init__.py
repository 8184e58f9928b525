"""From path expressions, as written, to path sets."""
