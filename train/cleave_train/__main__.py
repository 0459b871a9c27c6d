"""Command line: python -m cleave_train COMMAND; --help lists the commands."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from .allocator import keep_freed_memory
from .recipe import load_recipe

DEFAULT_RECIPE = Path(__file__).parent / "recipes" / "default.toml"


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE, help="TOML file")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=max(
        1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_recipe(parser)
    parser.add_argument("--run", type=Path, default=Path("run"),
                        help="folder of the checkpoint and the log; an existing one is resumed")
    parser.add_argument("--cache", type=Path, metavar="FOLDER",
                        help="where decoded pictures and the backbones' answers are kept, to be "
                             "shared by several runs; default: in the run's folder")
    parser.add_argument("--photos", type=Path, nargs="+", required=True, metavar="PATH",
                        help="folders or .tar files of JPEGs; labels are not needed")


def _fit(args: argparse.Namespace) -> None:
    from .fit import Trainer
    from .prepare import prepare
    from .processes import joined_processes, own_device

    recipe, device = load_recipe(args.recipe), own_device(args.device)
    args.run.mkdir(parents=True, exist_ok=True)
    with joined_processes(device) as processes:
        if not processes.first:
            processes.wait()  # until the first one has filled the caches
        prepared = prepare(recipe, args.cache or args.run, args.photos, device)
        if processes.first:
            processes.wait()
        Trainer(recipe, args.run, prepared, device, processes).fit()


def _classifier(args: argparse.Namespace) -> None:
    from .classifier import train_classifier

    train_classifier(load_recipe(args.recipe), args.backbone, args.photos, args.output,
                     torch.device(args.device))


def _export(args: argparse.Namespace) -> None:
    from .bundle import fingerprint, load_bundle, save_bundle
    from .calibrate import build_priors, calibrate
    from .export import build_bundle, planned_points, provenance
    from .fit import Trainer
    from .prepare import prepare

    recipe, device = load_recipe(args.recipe), torch.device(args.device)
    prepared = prepare(recipe, args.cache or args.run, args.photos, device)
    trainer = Trainer(recipe, args.run, prepared, device)
    calibrate(trainer.model, recipe, prepared, device)
    plan = planned_points(recipe, trainer.method.codec)
    priors = build_priors(trainer.model, recipe, plan, prepared, device)
    origin = provenance(recipe, trainer.steps_done, len(prepared.views.training_rows()))
    bundle = build_bundle(recipe, trainer.method, plan, priors, prepared.labels, origin)
    save_bundle(bundle, args.output)
    again = load_bundle(args.output)
    if fingerprint(again) != bundle.document["fingerprint"]:
        raise SystemExit(f"{args.output} does not read back as it was written")
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.2f} MB, "
          f"fingerprint {bundle.document['fingerprint']}, {trainer.steps_done} steps")


def _tune(args: argparse.Namespace) -> None:
    from .bundle import save_bundle
    from .prepare import prepare
    from .tune_codec import Tuning, tune

    recipe, device = load_recipe(args.recipe), torch.device(args.device)
    args.run.mkdir(parents=True, exist_ok=True)
    prepared = prepare(recipe, args.cache or args.run, args.photos, device)
    tuning = Tuning(args.codec, args.steps, args.batch, args.lr)
    save_bundle(tune(recipe, prepared, tuning, args.run, device), args.output)


def _import(args: argparse.Namespace) -> None:
    try:
        from .onnx_import.importer import Request, import_model
    except ModuleNotFoundError as missing:
        raise SystemExit(f"{missing}; pip install './train[import]' brings it") from None

    size = (args.size[0], args.size[-1]) if args.size else None
    import_model(Request(args.model, args.name, args.version, size, args.convention, args.resize,
                         tuple(args.mean), tuple(args.std), args.labels, args.split,
                         args.storage.upper()),
                 args.output, args.recipe)


def _evaluate(args: argparse.Namespace) -> None:
    from .baselines import parse_codecs
    from .evaluate import Request, evaluate

    evaluate(Request(args.bundle, args.photos_val, args.engine, tuple(args.sets),
                     tuple(args.points), tuple(parse_codecs(args.codecs)), args.codec_network,
                     tuple(args.exit), args.against, args.agreement), args.json, args.write)


def _report(args: argparse.Namespace) -> None:
    from .report import write_report

    write_report(args.results, args.output, args.bundle)


def _refit(args: argparse.Namespace) -> None:
    from .bundle import load_bundle, save_bundle
    from .photos import find_photos, split_photos
    from .refit import refit_priors, usable_pixels

    bundle = load_bundle(args.bundle)
    _, shuffled = split_photos(find_photos(args.photos, args.exclude), 0, seed=0)
    refit_priors(bundle, usable_pixels(shuffled, bundle.view, args.count))
    save_bundle(bundle, args.output)
    print(f"{args.output}: fingerprint {bundle.document['fingerprint']}")


def _qualities(args: argparse.Namespace) -> None:
    from .bundle import load_bundle, save_bundle
    from .qualities import add_qualities

    bundle = load_bundle(args.bundle)
    add_qualities(bundle, args.quality)
    save_bundle(bundle, args.output)
    print(f"{args.output}: fingerprint {bundle.document['fingerprint']}")


def _quantize(args: argparse.Namespace) -> None:
    from .bundle import load_bundle, save_bundle
    from .int8.quantize import chosen_graphs, quantize_bundle
    from .photos import find_photos, split_photos
    from .refit import usable_pixels

    bundle = load_bundle(args.bundle)
    graphs = chosen_graphs(bundle, args.graphs)
    _, shuffled = split_photos(find_photos(args.photos, args.exclude), 0, seed=0)
    quantize_bundle(bundle, graphs, usable_pixels(shuffled, bundle.view, args.count))
    save_bundle(bundle, args.output)
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.2f} MB, "
          f"fingerprint {bundle.document['fingerprint']}")


def _golden(args: argparse.Namespace) -> None:
    from .golden import write_golden

    write_golden(args.output, args.bundle, args.samples)


def _add_tune(tune: argparse.ArgumentParser) -> None:
    _add_run(tune)
    tune.add_argument("--codec", nargs="+", choices=("jpeg", "webp"), default=["jpeg", "webp"])
    tune.add_argument("--steps", type=int, default=350)
    tune.add_argument("--batch", type=int, default=64)
    tune.add_argument("--lr", type=float, default=1e-4)
    tune.add_argument("--output", type=Path, required=True, metavar="BUNDLE")
    tune.set_defaults(call=_tune)


def _add_import(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", type=Path, metavar="ONNX")
    command.add_argument("--output", type=Path, required=True, metavar="BUNDLE")
    command.add_argument("--name", default="", help="of the model; default: the file's")
    command.add_argument("--version", default="1")
    command.add_argument("--size", type=int, nargs="+", default=[], metavar="PIXELS",
                         help="height and width, or both at once, where the file leaves them open; "
                              "default: 224")
    command.add_argument("--convention", choices=("torchvision", "timm", "inception"),
                         default="torchvision",
                         help="of preparing pictures: bilinear with ImageNet's mean and deviation; "
                              "bicubic with the same; bicubic from -1 to 1")
    command.add_argument("--resize", type=int, default=0, metavar="PIXELS",
                         help="shorter side before the centre is cut out; default: size / 0.875")
    command.add_argument("--mean", type=float, nargs=3, default=[], metavar="LEVEL",
                         help="of red, green and blue, 0 to 1, instead of the convention's")
    command.add_argument("--std", type=float, nargs=3, default=[], metavar="LEVEL")
    command.add_argument("--labels", type=Path, metavar="FILE",
                         help="a line for each class, or a JSON list; default: ImageNet's if there "
                              "are 1000 classes")
    command.add_argument("--split", default="", metavar="NODE",
                         help="also cut the network behind this node or tensor of the file, with "
                              "an 8-bit bottleneck; an impossible one lists what is possible")
    command.add_argument("--recipe", type=Path, metavar="FILE",
                         help="write a recipe for `fit`, which trains a bottleneck at the split")
    command.add_argument("--storage", choices=("f32", "f16", "bf16"), default="f32",
                         help="of the weights; f16 and bf16 take half the bytes")
    command.set_defaults(call=_import)


def _add_quantize(quantize: argparse.ArgumentParser) -> None:
    quantize.add_argument("bundle", type=Path, metavar="BUNDLE")
    quantize.add_argument("--photos", type=Path, nargs="+", required=True, metavar="PATH",
                          help="folders or .tar files of JPEGs like those to come; labels are not "
                               "needed")
    quantize.add_argument("--exclude", nargs="+", default=[], metavar="PATTERN",
                          help="names to leave out, such as '*/val/*'")
    quantize.add_argument("--count", type=int, default=256, help="how many of them to use")
    quantize.add_argument("--graphs", nargs="+", default=[], metavar="NAME",
                          help="head, tail, full, or one graph such as head/w25; default: all")
    quantize.add_argument("--output", type=Path, required=True, metavar="BUNDLE")
    quantize.set_defaults(call=_quantize)


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument("--bundle", type=Path, nargs="+", required=True,
                          help="the first one's whole network is what all is compared with")
    evaluate.add_argument("--photos-val", type=Path, nargs="+", required=True, metavar="PATH",
                          help="folders or .tar files; a picture's folder is its class: a label "
                               "of the bundle or ImageNet's synset id")
    evaluate.add_argument("--sets", nargs="+", default=[], metavar="NAME",
                          help="use only these sets: the folders above the class folders")
    evaluate.add_argument("--engine", default="cleave-eval", metavar="PROGRAM")
    evaluate.add_argument("--points", nargs="*", default=[], metavar="ID", help="default: all")
    evaluate.add_argument("--codecs", nargs="+", default=[], metavar="CODEC:QUALITIES",
                          help="measure these too, like jpeg:75,30 webp:50,20")
    evaluate.add_argument("--codec-network", type=Path, metavar="BUNDLE",
                          help="what `tune` wrote, to answer for the codecs")
    evaluate.add_argument("--exit", nargs="+", default=[], metavar="ID",
                          help="points to take as early exits in front of the others")
    evaluate.add_argument("--against", type=Path, metavar="BUNDLE",
                          help="compare every point with that of the same id here, such as int8 "
                               "with fp32, and all differences are to this one's network")
    evaluate.add_argument("--agreement", action="store_true",
                          help="say how often PyTorch names the same class")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    evaluate.add_argument("--write", action="store_true",
                          help="write the figures into the bundles' points, and known "
                               "answers for servers' self-tests")
    evaluate.set_defaults(call=_evaluate)


def parser() -> argparse.ArgumentParser:
    """All subcommands."""
    root = argparse.ArgumentParser(prog="cleave_train",
                                   description="Train, export and evaluate Cleave's bundles.")
    commands = root.add_subparsers(required=True)

    classifier = commands.add_parser("classifier", help="train a last layer for own classes")
    _add_recipe(classifier)
    classifier.add_argument("--backbone", default="", metavar="NAME",
                            help="one of the recipe's; default: the first")
    classifier.add_argument("--photos", type=Path, nargs="+", required=True, metavar="PATH",
                            help="folders or .tar files; a picture's folder is its class")
    classifier.add_argument("--output", type=Path, required=True, metavar="FILE",
                            help="for a recipe's backbone to name as its `classifier`")
    classifier.set_defaults(call=_classifier)

    fit = commands.add_parser("fit", help="train, or go on with an interrupted run")
    _add_run(fit)
    fit.set_defaults(call=_fit)

    export = commands.add_parser("export", help="write the bundle of a run's checkpoint")
    _add_run(export)
    export.add_argument("--output", type=Path, required=True, metavar="BUNDLE")
    export.set_defaults(call=_export)

    _add_import(commands.add_parser("import", help="make a bundle of an ONNX image classifier"))
    _add_tune(commands.add_parser("tune", help="tune a whole network to codecs' pictures: the "
                                               "baseline that a bottleneck has to beat"))
    _add_evaluate(commands.add_parser("evaluate", help="accuracy and bytes, by the C engine"))

    report = commands.add_parser("report", help="write Markdown and plots of measured results")
    report.add_argument("--results", type=Path, nargs="+", required=True, metavar="JSON",
                        help="what `evaluate --json` wrote")
    report.add_argument("--bundle", default="", metavar="NAME",
                        help="the bundle to judge by its targets; default: the first with points")
    report.add_argument("--output", type=Path, required=True, metavar="FOLDER",
                        help="gets REPORT.md and report/*.png")
    report.set_defaults(call=_report)

    refit = commands.add_parser("refit", help="fit a bundle's priors to other pictures")
    refit.add_argument("--bundle", type=Path, required=True)
    refit.add_argument("--photos", type=Path, nargs="+", required=True, metavar="PATH",
                       help="folders or .tar files of JPEGs like those to come")
    refit.add_argument("--exclude", nargs="+", default=[], metavar="PATTERN",
                       help="names to leave out, such as '*/val/*'")
    refit.add_argument("--count", type=int, default=3000, help="how many of them to use")
    refit.add_argument("--output", type=Path, required=True, metavar="BUNDLE")
    refit.set_defaults(call=_refit)

    qualities = commands.add_parser("qualities", help="add points that send the picture as a "
                                                      "smaller JPEG")
    qualities.add_argument("--bundle", type=Path, required=True)
    qualities.add_argument("--quality", type=int, nargs="+", required=True, metavar="Q",
                           help="libjpeg's, 1 to 100")
    qualities.add_argument("--output", type=Path, required=True, metavar="BUNDLE")
    qualities.set_defaults(call=_qualities)

    _add_quantize(commands.add_parser("quantize", help="take a bundle's graphs to int8"))

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
        keep_freed_memory()
    args.call(args)


if __name__ == "__main__":
    main()
