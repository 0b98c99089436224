"""Stage `classifier`: train what reads digits, to tell whether imputed ones can still be read."""

from collections.abc import Sequence

from study.params import Count, Params, Seed, parse_paths, read_params, run
from study.trials.recognition import save_classifier, train_classifier
from vaefill import storage


class Section(Params):
    """Section `classifier`."""

    seed: Seed


class ClassifierParams(Params):
    """What `classifier` reads."""

    classifier: Section
    threads: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Train on the complete training images."""
    args = parse_paths(argv, "--split", "--out")
    seed = read_params(ClassifierParams).classifier.seed
    split = storage.load_arrays(args.split)
    classifier = train_classifier(split["train_images"], split["train_labels"], seed=seed)
    save_classifier(args.out, classifier)


if __name__ == "__main__":
    run(main)
