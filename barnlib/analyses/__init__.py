"""From what evaluation wrote to estimates, tests and verdicts: tables in, tables out, no torch and no drawing."""
