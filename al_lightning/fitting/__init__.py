"""One round with Lightning: the only folder that knows the insides of Lightning."""
