"""The canonical form of a `.circuit` file."""
