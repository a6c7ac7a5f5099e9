"""Where texts come from: arguments, files, folders, globs and stdin, as one stream of records."""
