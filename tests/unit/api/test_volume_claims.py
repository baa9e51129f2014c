"""Size and class of a volume come from one place, wherever the user wrote them."""

import pytest

from api.v1alpha1.cluster import Storage
from api.volume_claims import claim_class, claim_size, storage_errors


def storage(claim=None, **fields):
    template = {} if claim is None else {"volumeClaimTemplate": {"spec": claim}}
    return Storage.model_validate({**fields, **template})


def requests(size):
    return {"resources": {"requests": {"storage": size}}}


@pytest.mark.parametrize(
    ("one", "size"),
    [
        (storage(), "10Gi"),
        (storage(size="5Gi"), "5Gi"),
        (storage({}), "10Gi"),
        (storage(requests("20Gi")), "20Gi"),
        (storage(requests("5120Mi"), size="5Gi"), "5120Mi"),
        (storage({"resources": None}), "10Gi"),
        (storage({"resources": {"requests": {}}}), "10Gi"),
    ],
)
def test_the_size_is_the_templates_if_it_names_one(one, size):
    assert str(claim_size(one)) == size
    assert list(storage_errors(one, "s")) == []


@pytest.mark.parametrize(
    ("one", "name"),
    [
        (storage(), None),
        (storage(storageClassName=""), ""),
        (storage({}, storageClassName="a"), "a"),
        (storage({"storageClassName": "b"}), "b"),
        (storage({"storageClassName": "a"}, storageClassName="a"), "a"),
    ],
)
def test_the_class_may_be_named_in_either_place(one, name):
    assert claim_class(one) == name
    assert list(storage_errors(one, "s")) == []


@pytest.mark.parametrize(
    ("one", "field"),
    [
        (storage(requests("1m")), "resources.requests.storage"),
        (storage(requests(0)), "resources.requests.storage"),
        (storage(requests(True)), "resources.requests.storage"),
        (storage({"storageClassName": 5}), "storageClassName"),
        (storage({"storageClassName": ""}, storageClassName="a"), "storageClassName"),
        (storage({"accessModes": "ReadWriteOnce"}), "accessModes"),
        (storage({"accessModes": []}), "accessModes"),
    ],
)
def test_what_a_claim_cannot_be_is_refused_by_name(one, field):
    assert [error.field for error in storage_errors(one, "s")] == [
        f"s.volumeClaimTemplate.spec.{field}"
    ]
