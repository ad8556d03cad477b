"""Pure array functions with no parameters: the ground floor."""
