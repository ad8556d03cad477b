import sys
from pathlib import Path

# `import tiny`, here and in the processes that tests launch.
sys.path.insert(0, str(Path(__file__).parent))
