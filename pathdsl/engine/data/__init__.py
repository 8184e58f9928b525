"""From the rows of a task to arrays: read, filtered, tokenised, vetted."""
