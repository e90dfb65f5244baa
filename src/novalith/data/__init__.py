"""Bundled tables behind one door, their cards and checksums, and the door for structures from outside."""
