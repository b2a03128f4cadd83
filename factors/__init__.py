"""What could predict: the factor language, its engine, published libraries."""
