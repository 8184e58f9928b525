"""First files for `pathdsl init`: templates of experiments, filled in with a model and rows."""
