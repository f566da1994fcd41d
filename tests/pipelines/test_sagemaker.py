"""What a training job's hyperparameters become."""

from pipelines import sagemaker


def test_hyperparameters_become_overrides() -> None:
    given = {
        "project": "mnist",
        "profile": '"full"',
        "projects.mnist.model.lr": "0.01",
        "projects.mnist.data.path": "it's.csv",
        "projects.mnist.variants": '{"a": {"hidden": [1, 2], "lr": null}}',
        "sagemaker_region": '"eu-central-1"',
    }
    assert sagemaker.overrides(given) == (
        "mnist",
        [
            "project='mnist'",
            "profile='full'",
            "++projects.mnist.model.lr=0.01",
            r"++projects.mnist.data.path='it\'s.csv'",
            "~projects.mnist.variants",
            "+projects.mnist.variants={a:{hidden:[1,2],lr:null}}",
        ],
    )
