"""A live Label Studio: questions go to its server, and answers come from there."""
