"""Alt text for pages and photo libraries: find what has none, propose, patch, write, undo."""
