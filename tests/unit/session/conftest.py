"""The fakes are found by name from every test of the session."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
