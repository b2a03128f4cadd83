"""Puts the starter knowledge base, which stands at the top of the repository, into the package."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

STARTER = Path(__file__).parent / "knowledge.db"


class BuildWithStarter(build_py):
    """Copies `knowledge.db` beside the code that reads it, so that an installed alphaglow has published factors too."""

    def run(self) -> None:
        """Build as always, then copy."""
        super().run()
        if STARTER.is_file() and not self.editable_mode:
            target = Path(self.build_lib) / "agent" / "study" / "starter.db"
            self.copy_file(str(STARTER), str(target))


setup(cmdclass={"build_py": BuildWithStarter})
