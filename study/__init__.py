"""The study of the paper's claims: specifications, their runs, and the report made from them."""
