"""Text from models, people and files: made safe to show, and quoted so that it stays data."""
