"""Path sets without syntax: automata, their product with a model, units and neurons."""
