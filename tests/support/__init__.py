"""What tests share: checkouts, bundles, running servers."""
