"""Commands over what is stored: stores that are scanned, pictures that are hunted or scanned again, and the ledger."""
