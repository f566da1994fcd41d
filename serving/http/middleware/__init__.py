"""What stands around the routes: who may ask, what arrives, what is measured, which headers leave."""
