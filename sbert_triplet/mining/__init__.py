"""Hard negatives: found, filtered, audited. ``hard_negatives.mine`` runs it all."""
