"""The sub-commands of `showtell`: each adds its arguments to a parser and runs."""
