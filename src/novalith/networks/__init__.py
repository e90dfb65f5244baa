"""Plain torch modules: no loss, no files, no chemistry."""
