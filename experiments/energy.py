"""What an image costs in energy, as a range: arithmetic alone, or with memory.

Constants of 45 nm silicon at 0.9 V, in pJ, after M. Horowitz, "Computing's energy problem (and what
we can do about it)", ISSCC 2014: a sum and a product of two 32-bit floats, and a 32-bit word read
from 8 KB of memory (half of a 64-bit read, 10 pJ). Larger memories are dearer, for all alike.
"""

SUM, PRODUCT, WORD = 0.9, 3.7, 5.0


def energy(sums: float, gathered: float, products: float, updates: float) -> tuple[float, float]:
    """Return the energy in nJ of so many operations: of arithmetic alone, and with memory.

    The counts are those of ``codes.Coded``. An update of a potential is a sum. In memory, a sum
    reads a spike's weight, and reads and writes what it is added to; a gathered sum reads the
    weight alone, for the sum stays in a register; an update reads and writes a potential.
    """
    arithmetic = SUM * (sums + gathered + updates) + PRODUCT * products
    words = 3 * sums + gathered + 2 * updates
    return arithmetic / 1e3, (arithmetic + WORD * words) / 1e3
