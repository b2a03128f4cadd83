"""What each candidate of a round is to be: explore and exploit, by what earned its keep so far."""
