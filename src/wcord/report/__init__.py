"""Records of runs, and the tables, figures and pages made from them."""
