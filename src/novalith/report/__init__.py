"""The report of a campaign: one HTML page that needs no network, its figures, and the works to cite."""
