"""What keeps a provider's faults from becoming ours: typed faults, retries, limits, fallbacks.

`layers.resilient` is all of it in its order, from the provider outwards.
"""
