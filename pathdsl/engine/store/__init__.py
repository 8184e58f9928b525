"""The result store: values of runs on disk, found again by what they mean."""
