import pytest
from models.tester import VariantTester, check_variables

import keras_deeplab as kd


class TestR18D8(VariantTester):
    variant, network, spatial = "r18_d8", "r18", "conv1"
    dilations = (1, 2, 2, 4)


class TestR18D16(VariantTester):
    variant, network, spatial = "r18_d16", "r18", "conv1"
    dilations = (1, 1, 1, 2)


class TestR50D8(VariantTester):
    variant, network, spatial = "r50_d8", "r50", "conv2"
    dilations = (1, 2, 2, 2, 2, 2, 2, 4, 4)


class TestR50D8MG124(VariantTester):
    variant, network, spatial = "r50_d8_mg124", "r50", "conv2"
    dilations = (1, 2, 2, 2, 2, 2, 1, 2, 4)


class TestR50D16(VariantTester):
    variant, network, spatial = "r50_d16", "r50", "conv2"
    dilations = (1, 1, 1, 1, 1, 1, 1, 2, 2)


class TestR50D16MG124(VariantTester):
    variant, network, spatial = "r50_d16_mg124", "r50", "conv2"
    dilations = (1, 1, 1, 1, 1, 1, 1, 2, 4)


class TestR101D8(VariantTester):
    variant, network, spatial = "r101_d8", "r101", "conv2"
    dilations = (1, *[2] * 22, 2, 4, 4)


class TestR101D8MG124(VariantTester):
    variant, network, spatial = "r101_d8_mg124", "r101", "conv2"
    dilations = (1, *[2] * 22, 1, 2, 4)


class TestR101D16(VariantTester):
    variant, network, spatial = "r101_d16", "r101", "conv2"
    dilations = (*[1] * 23, 1, 2, 2)


class TestR101D16MG124(VariantTester):
    variant, network, spatial = "r101_d16_mg124", "r101", "conv2"
    dilations = (*[1] * 23, 1, 2, 4)


class TestEFL0D8(VariantTester):
    variant, network, spatial = "efl0_d8", "efl0", "_depthwise_conv"
    dilations = (1, *[2] * 5, 2, *[4] * 4)


class TestEFL0D16(VariantTester):
    variant, network, spatial = "efl0_d16", "efl0", "_depthwise_conv"
    dilations = (1, *[1] * 5, 1, *[2] * 4)


@pytest.mark.slow
class TestX65D8(VariantTester):
    variant, network, spatial = "x65_d8", "x65", "_depthwise"
    dilations = (*[2] * 48, *[2] * 3, *[4] * 3)


@pytest.mark.slow
class TestX65D16(VariantTester):
    variant, network, spatial = "x65_d16", "x65", "_depthwise"
    dilations = (*[1] * 48, *[1] * 3, *[2] * 3)


class TestMNV2D8(VariantTester):
    variant, network, spatial = "mnv2_d8", "mnv2", "-depthwise"
    dilations = (1, *[2] * 7, *[4] * 3)


class TestMNV2D16(VariantTester):
    variant, network, spatial = "mnv2_d16", "mnv2", "-depthwise"
    dilations = (*[1] * 8, *[2] * 3)


class TestMNV2D8Plain(VariantTester):
    variant, network, spatial = "mnv2_d8_plain", "mnv2_plain", "-depthwise"
    dilations = (1, *[2] * 7, *[4] * 3)


class TestMNV2D16Plain(VariantTester):
    variant, network, spatial = "mnv2_d16_plain", "mnv2_plain", "-depthwise"
    dilations = (*[1] * 8, *[2] * 3)


class TestMNV2D16Decoder(VariantTester):
    variant, network, spatial = "mnv2_d16_decoder", "mnv2_decoder", "-depthwise"
    dilations = (*[1] * 8, *[2] * 3)


def test_every_variant_has_a_tester():
    tested = {cls.variant for cls in VariantTester.__subclasses__()}
    assert tested == set(kd.list_variants())


@pytest.mark.parametrize("network", ["r18", "r50", "r101", "efl0"])
def test_variables_without_auxiliary_head(network, tmp_path):
    """Of one variant of each network: strides and dilations do not change the variables."""
    check_variables(kd.build(f"{network}_d8", 6), network, tmp_path, aux_head=False)


def test_list_variants_by_glob_in_natural_order():
    assert kd.list_variants("r*_d8") == ["r18_d8", "r50_d8", "r101_d8"]
    assert kd.list_variants("r50*mg124") == ["r50_d8_mg124", "r50_d16_mg124"]
    assert kd.list_variants("vgg*") == []
