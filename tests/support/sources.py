"""Where the server finds bundles."""

from serving.sources import BundleSource, DiscoveredBundle


def found(source: BundleSource, name: str = "titanic") -> DiscoveredBundle:
    """The bundle of this name; fails if the source has none or reports an error in its place."""
    one = source.find()[name]
    assert isinstance(one, DiscoveredBundle), one
    return one
