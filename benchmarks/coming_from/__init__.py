"""The experiments of docs/coming-from, in the libraries named there and as `.circuit` files."""
