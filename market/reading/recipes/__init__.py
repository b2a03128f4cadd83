"""Recipes, one declaration a file: how a tool or an archive writes its tables. `market.reading.recipe` reads them."""
