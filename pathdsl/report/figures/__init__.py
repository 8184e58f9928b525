"""Pictures of sweeps: where the members of a `for` stand on paper, drawn as SVG, PNG and PDF."""
