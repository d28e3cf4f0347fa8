"""What readers see: words, charts, tables and pages made from the analyses' tables, and the book that holds them."""
