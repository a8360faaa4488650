"""What models of every task are made of: stages, parts, variables with names."""
