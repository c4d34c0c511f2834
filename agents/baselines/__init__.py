"""Non-LLM solvers, one per agent, each imported only when its model is asked for."""
