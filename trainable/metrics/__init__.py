"""How good a set of generated images is: distances, neighbours, diversity, copies."""
