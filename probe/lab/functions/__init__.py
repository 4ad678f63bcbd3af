"""The Functions host in a box: it fires triggers into the real Python worker runtime, as Azure would."""
