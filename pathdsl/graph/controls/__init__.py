"""Random path sets to compare a hypothesis with."""
