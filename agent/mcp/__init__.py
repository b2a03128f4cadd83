"""A server of the Model Context Protocol: the application as tools for other agents, who see what a writer may see."""
