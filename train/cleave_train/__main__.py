"""Command line: python -m cleave_train fit | export | evaluate | golden."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from .recipe import load_recipe

DEFAULT_RECIPE = Path(__file__).parents[1] / "recipes" / "lite0.toml"


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE, help="TOML file")
    parser.add_argument("--run", type=Path, default=Path("run"),
                        help="folder of the cache and the checkpoint; an existing one is resumed")
    parser.add_argument("--photos", type=Path, nargs="+", required=True, metavar="PATH",
                        help="folders or .tar files of JPEGs; labels are not needed")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())


def _fit(args: argparse.Namespace) -> None:
    from .fit import Trainer
    from .prepare import prepare

    recipe, device = load_recipe(args.recipe), torch.device(args.device)
    prepared = prepare(recipe, args.run, args.photos, device)
    Trainer(recipe, args.run, prepared, device).fit()


def _export(args: argparse.Namespace) -> None:
    from .bundle import fingerprint, load_bundle, save_bundle
    from .export import build_bundle, calibrate, prior_tables, provenance
    from .fit import Trainer
    from .prepare import prepare

    recipe, device = load_recipe(args.recipe), torch.device(args.device)
    prepared = prepare(recipe, args.run, args.photos, device)
    trainer = Trainer(recipe, args.run, prepared, device)
    calibrate(trainer.model, recipe, prepared.cache, device)
    print("held out:", trainer.held_out())
    priors = prior_tables(trainer.model, recipe, prepared.cache, device)
    bundle = build_bundle(recipe, prepared.net, prepared.narrow, trainer.model, priors,
                          provenance(recipe, prepared.cache, trainer.step))
    save_bundle(bundle, args.output)
    again = load_bundle(args.output)
    if fingerprint(again) != bundle.document["fingerprint"]:
        raise SystemExit(f"{args.output} does not read back as it was written")
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.2f} MB, "
          f"fingerprint {bundle.document['fingerprint']}, step {trainer.step}")


def _evaluate(args: argparse.Namespace) -> None:
    from .evaluate import evaluate

    evaluate(args.bundle, args.photos_val, args.sets, args.engine, args.report, args.write)


def _golden(args: argparse.Namespace) -> None:
    from .golden import write_golden

    write_golden(args.output, args.bundle, args.samples)


def parser() -> argparse.ArgumentParser:
    """All subcommands."""
    root = argparse.ArgumentParser(prog="cleave_train",
                                   description="Train, export and evaluate Cleave's bundles.")
    commands = root.add_subparsers(required=True)

    fit = commands.add_parser("fit", help="train, or go on with an interrupted run")
    _add_run(fit)
    fit.set_defaults(call=_fit)

    export = commands.add_parser("export", help="write the bundle of a run's checkpoint")
    _add_run(export)
    export.add_argument("--output", type=Path, required=True, metavar="BUNDLE")
    export.set_defaults(call=_export)

    evaluate = commands.add_parser("evaluate", help="accuracy, bytes and agreement of a bundle")
    evaluate.add_argument("--bundle", type=Path, required=True)
    evaluate.add_argument("--photos-val", type=Path, nargs="+", required=True, metavar="PATH",
                          help="folders or .tar files; a picture's folder is its synset id")
    evaluate.add_argument("--sets", nargs="+", default=[], metavar="NAME",
                          help="use only these sets: the folders above the class folders")
    evaluate.add_argument("--engine", default="torch", metavar="PROGRAM",
                          help="cleave-eval, or `torch` for the reference executor alone")
    evaluate.add_argument("--report", type=Path, metavar="JSON", help="write all figures here")
    evaluate.add_argument("--write", action="store_true",
                          help="write the engine's figures into the bundle's points")
    evaluate.set_defaults(call=_evaluate)

    golden = commands.add_parser("golden", help="write the golden data of the C tests")
    golden.add_argument("--bundle", type=Path, required=True)
    golden.add_argument("--samples", type=Path, required=True, help="folder of sample photos")
    golden.add_argument("--output", type=Path, required=True, help="folder, tests/data")
    golden.set_defaults(call=_golden)
    return root


def main() -> None:
    """Runs one subcommand."""
    args = parser().parse_args()
    if "threads" in args:
        torch.set_num_threads(args.threads)
    args.call(args)


if __name__ == "__main__":
    main()
