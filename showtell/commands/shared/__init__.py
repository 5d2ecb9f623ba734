"""Code that several commands share: options, the parser, the log."""
