"""How good a network is and what it costs."""
