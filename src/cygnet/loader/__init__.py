"""From specs to something that runs: relocations are applied, BTF is built, and a back end is driven."""
