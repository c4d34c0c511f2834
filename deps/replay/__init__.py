"""Recording and replaying what models answered."""
