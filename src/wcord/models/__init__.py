"""Networks to build by name, their weights and the input that they want."""
