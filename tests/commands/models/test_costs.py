import csv

from segtrain.commands.models.command import COSTS_FILE
from segtrain.config.libraries import known_names
from segtrain.config.networks import NETWORKS
from tools.network_costs import list_costs


def test_the_costs_are_those_of_the_networks():
    with COSTS_FILE.open() as file:
        stored = [(row["network"], int(row["parameters"]), int(row["multiply_adds"])) for row in csv.DictReader(file)]
    assert stored == list(list_costs())


def test_every_architecture_of_smp_is_listed():
    assert set(known_names("model")) == NETWORKS.keys()
