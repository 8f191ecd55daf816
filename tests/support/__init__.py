"""What tests of several files use: engines, servers, stores, commands, projects."""
