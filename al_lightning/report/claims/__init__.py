"""The claims of the document that this project comes from, each with a test and a verdict."""
