"""What a check or a lint found, for programs that watch runs: JUnit, SARIF, GitHub."""
