"""What cannot be used is refused where it is read: by every stage's own params."""

import pytest
import yaml
from conftest import ROOT

from stages.assess import AssessParams
from stages.compare import CompareParams
from stages.control import ControlParams
from stages.degrade import DegradeParams
from stages.evaluate import EvaluateParams
from stages.fetch_mnist import FetchParams
from stages.images import ImagesParams
from stages.impute import ImputeParams
from stages.infer import InferParams
from stages.mask import MaskParams
from stages.report import ReportParams
from stages.rubin import RubinParams
from stages.rubin import main as rubin
from stages.split import SplitParams
from stages.train_masked import MaskedGaussParams
from study.params import read_params, read_yaml
from vaefill.errors import InputError


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """Change one of the tracked params, named by its path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())

    def change(path, value):
        params = read_yaml(ROOT / "params.yaml")
        section = params
        *parts, last = path.split(".")
        for part in parts:
            section = section[part]
        section[last] = value
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")

    return change


@pytest.mark.parametrize(
    ("schema", "path", "value", "rule"),
    [
        (FetchParams, "dataset", "mnits", "'mnist'"),
        (SplitParams, "split.test_size", 0, "greater than or equal to 1"),
        (MaskParams, "mask.random.fraction", 1.5, "less than 1"),
        (MaskParams, "mask.square.size", 0, "greater than or equal to 1"),
        (MaskParams, "dff", 10, "no stage reads this key; did you mean 'df'?"),
        (EvaluateParams, "evaluate.n_draws", 0, "greater than or equal to 1"),
        (EvaluateParams, "threads", 1.5, "valid integer"),
        (InferParams, "infer.n_draws", 38, "greater than or equal to 39"),
        *(
            (schema, path, value, rule)
            for schema, path in (
                (ImputeParams, "seeds"),
                (EvaluateParams, "seeds"),
                (CompareParams, "seeds"),
                (ImagesParams, "seeds"),
                (ReportParams, "seeds"),
                (ControlParams, "control.seeds"),
                (InferParams, "infer.seeds"),
                (AssessParams, "infer.seeds"),
                (DegradeParams, "infer.seeds"),
            )
            for value, rule in (([], "at least 1 item"), ([1, 1], "must not hold a value twice"))
        ),
        *(
            (schema, "masked.seeds.mlp", [1, 1], "must not hold a value twice")
            for schema in (AssessParams, DegradeParams, MaskedGaussParams, RubinParams)
        ),
        (ReportParams, "recipes", ["fsat"], "no section of train"),
    ],
)
def test_a_value_that_breaks_its_rule_is_named(changed, schema, path, value, rule):
    changed(path, value)
    with pytest.raises(InputError) as refused:
        read_params(schema)
    message = str(refused.value)
    assert message.startswith(f"params.yaml: {path} = {value!r}: ")
    assert rule in message


def test_what_is_pooled_must_be_run(changed):
    changed("assess.pooled", "cnov")
    flags = ("split", "missing", "inferred", "out")
    with pytest.raises(InputError, match=r"assess\.pooled = 'cnov': must be one of .*mlp, conv"):
        rubin([f"--{flag}=x" for flag in flags])
