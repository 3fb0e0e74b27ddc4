"""The part that all commands share: arguments, times, exit codes, work with its JSON line."""
