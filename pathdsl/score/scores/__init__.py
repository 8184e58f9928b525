"""The scores of the language, one module each: what runs they ask for, what quantity they are."""
