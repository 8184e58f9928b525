"""From the name of a model to weights that can be trusted: config, files, tokenizer, device."""
