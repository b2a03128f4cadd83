"""Reading what people bring: text tables, JSON, times, numbers, recipes, and whether what came out can be."""
