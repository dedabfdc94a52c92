"""The one mutable object: what is open, switched on and shown, how it is opened, and how it is kept. No Qt."""
