"""What each command does; `gradcheck.cli` says how they are called."""
