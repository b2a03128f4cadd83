"""The application: language models, loops, knowledge base, reports and the command line."""
