"""Published methods, one a file: representation + network + generator + defaults + reference."""
