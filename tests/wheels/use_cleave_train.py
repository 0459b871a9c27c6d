"""Run where the wheel of cleave_train is installed: is all of it there?"""

import os
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import cleave_train
from cleave_train.labels import imagenet_labels
from cleave_train.recipe import load_recipe

home = Path(cleave_train.__file__).parent
assert home.is_relative_to(sys.prefix), home
for module in pkgutil.walk_packages([str(home)], "cleave_train."):
    import_module(module.name)
assert len(imagenet_labels()) == 1000

recipes = {path.name for path in Path(os.environ["CLEAVE_RECIPES"]).glob("*.toml")}
assert "default.toml" in recipes
for name in recipes:
    load_recipe(home / "recipes" / name)
subprocess.run([sys.executable, "-m", "cleave_train", "fit", "--help"], check=True)
