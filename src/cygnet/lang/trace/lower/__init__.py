"""From the analysed tree to the IR: values in registers, aggregates in memory, events in the ring."""
