"""The rules, by what they look at; each is a function from a subject to findings."""
