"""The models of config.yaml: what every section may contain.

A configuration is plain data, frozen once checked. What must agree *between* sections is in `checks`.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, JsonValue, Tag

from nuisflow import strategies
from nuisflow.settings.review import Review
from nuisflow.settings.scenarios import Published, Scenario
from nuisflow.settings.sections import Column, Count, Expression, FileName, Fraction, Name, Number, Positive, Section
from nuisflow.settings.studies import Studies
from nuisflow.settings.systematics import Correlated, Size, TwoPoint, Variation, Weight
from nuisflow.settings.toys import Toys
from nuisflow.strategies.binning import Binning


class DitauDataset(Section):
    """The built-in simulation of lepton + hadronic tau events (H, Z, tt and diboson)."""

    kind: Literal["ditau"]


class GaussianDataset(Section):
    """Two Gaussian classes in a plane whose common angle is uncertain (arXiv:2105.08742): signal and background."""

    kind: Literal["gaussian"]


class InfernoDataset(Section):
    """The three-dimensional benchmark of INFERNO (arXiv:1806.04743): signal and background."""

    kind: Literal["inferno"]


class PivotDataset(Section):
    """The toy of Learning to pivot (arXiv:1611.01046): signal and background."""

    kind: Literal["pivot"]


class Download(Section):
    """Where a published file comes from."""

    url: str = Field(pattern=r"^(https?|ftp)://", description="address of the file")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(None, description="checksum of the file")
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = Field(None, description="checksum of the file")


class FileDataset(Section):
    """Events in files of the user."""

    path: str = Field(".", description="folder of the files; environment variables as ${NAME}")
    download: dict[FileName, Download] = Field({}, description="files that are fetched if they are not in path")


class FlatDataset(FileDataset):
    """Flat ntuples of the user: ROOT TTree or RNTuple, Parquet or CSV(.gz), one row per event."""

    kind: Literal["flat"]
    tree: str = Field("Events", description="name of the TTree or RNTuple (ROOT files only)")
    columns: tuple[Column, ...] = Field(min_length=1, description="columns that may be used, scalar numbers only")
    missing: Number | None = Field(None, description="value that stands for 'undefined', e.g. -999")


class _CalibratedDataset(FileDataset):
    soft_term: bool = Field(False, description="add the noise that the shift soft_met is about: 1 GeV at z = 0")


class HiggsmlDataset(_CalibratedDataset):
    """The events of the ATLAS Higgs challenge of 2014 (DOI 10.7483/OPENDATA.ATLAS.ZBP2.M5T8): signal, background."""

    kind: Literal["higgsml"]
    kaggle_sets: tuple[Literal["t", "b", "v", "u"], ...] = Field(
        ("t", "b", "v", "u"), min_length=1, description="the column KaggleSet of the events to use"
    )


class FairUniverseDataset(_CalibratedDataset):
    """The events of the Fair Universe challenge (DOI 10.5281/zenodo.15131565): htautau, ztautau, ttbar, diboson."""

    kind: Literal["fair_universe"]


class NanoaodDataset(FileDataset):
    """NanoAOD-like ROOT files: lists of objects per event, made flat by functions in a Python file."""

    kind: Literal["nanoaod"]
    tree: str = Field("Events", description="name of the TTree or RNTuple")
    branches: tuple[Column, ...] = Field(min_length=1, description="branches to read, e.g. Muon_pt")
    generated: tuple[Column, ...] = Field((), description="further branches, which only simulation has")
    functions: str = Field(min_length=1, description="Python file with flatten(events) and, for shifts, shift")
    columns: tuple[Column, ...] = Field(
        min_length=1, description="the columns that flatten returns, and branches that are one number per event"
    )
    shifts: tuple[Name, ...] = Field((), description="names of the shifts that the function shift knows")
    missing: Number | None = Field(None, description="value that stands for 'undefined', e.g. -999")


SimulatedDataset = Annotated[
    DitauDataset | GaussianDataset | InfernoDataset | PivotDataset, Field(discriminator="kind")
]
Dataset = Annotated[
    DitauDataset
    | GaussianDataset
    | InfernoDataset
    | PivotDataset
    | FlatDataset
    | HiggsmlDataset
    | FairUniverseDataset
    | NanoaodDataset,
    Field(discriminator="kind"),
]


class Estimate(Section):
    """A background measured in data: those of a sideband, minus simulation there, times a transfer factor."""

    sideband: Expression = Field(description="selection of the sideband, e.g. pairs of the same sign")
    in_place_of: Expression = Field(description="selection of all other samples, e.g. pairs of opposite sign")
    transfer: Positive = Field(1.0, description="events expected here per event of the process in the sideband")
    size: Size | None = Field(None, description="relative uncertainty of the transfer factor: a rate variation")
    group: str = Field("other", description="group of this variation")


class Part(Section):
    """What an estimate from data subtracts: events of one process in its sideband, with negative weights."""

    of: Name = Field(description="the process that is estimated")
    subtracts: Name = Field(description="the process whose simulation is subtracted")


class Process(Section):
    """A physics process: one row of the templates, one sample of the workspace."""

    role: Literal["signal", "background"] = Field("background", description="the signal is scaled by the POI")
    label: str | None = Field(None, description="name in figures; default: the name of the process")
    color: str | None = Field(None, description="any matplotlib colour; default: from the palette")
    estimate: Estimate | None = Field(None, description="how to measure it in data, instead of samples")
    part: Part | None = Field(None, description="what it is of an estimate (made by one; not to be written)")


class Sample(Section):
    """Events of one process: files, or a number of events to simulate."""

    process: Name = Field(description="a name of the section processes, or 'data' for collision data")
    files: tuple[str, ...] = Field((), description="files in dataset.path (data sets of files): names, or patterns")
    tree: str | None = Field(None, description="name of the tree in its files (ROOT); default: dataset.tree")
    events: Count | None = Field(None, description="number of events to simulate")
    expected: Positive | None = Field(
        None, description="expected events that the simulated ones stand for; published events are scaled to it"
    )
    variant: Name | None = Field(None, description="another way of simulating the process, if the data set has it")
    weight: Expression | None = Field(None, description="expected events per row: an expression over columns")
    selection: Expression | None = Field(None, description="rows of the files that belong to this sample")
    train: bool = Field(True, description="whether classifiers are trained on it")
    ratios: tuple[str, ...] = Field((), description="files of further columns (made by two_point, reweight)")
    recorded: bool = Field(False, description="collision data of an estimate (made by one; not to be written)")

    @property
    def is_data(self) -> bool:
        """Whether these are collision data, also where they serve in an estimate."""
        return self.process == "data" or self.recorded


class Region(Section):
    """A selection with one observable: a channel of the workspace."""

    selection: Expression | None = Field(None, description="in addition to the common selection; default: all events")
    observable: Expression = Field("score", description="'score' of the training, or an expression over columns")
    binning: Binning | None = Field(None, description="default: templates.binning")
    label: str | None = Field(None, description="name in figures")
    axis: str | None = Field(None, description="label of the observable's axis, with units")
    control: bool = Field(
        False, description="a control region: its collision data are shown beside the model also while blinded"
    )


class Learning(Section):
    """The network, the optimiser and the budget, shared by all trainings."""

    hidden: tuple[Count, ...] = Field((64, 64), description="nodes of each hidden layer")
    activation: Literal["relu", "tanh", "silu"] = "relu"
    batch_size: Count = 1024
    learning_rate: Positive = 1e-3
    events_seen: Count = Field(4_000_000, description="budget of one network: events times epochs")
    validation_fraction: Fraction = Field(0.2, description="part of the training events kept for early stopping")
    patience: Count = Field(10, description="epochs without a better validation loss before stopping")
    folds: Annotated[int, Field(ge=2, le=20)] = Field(
        2, description="an event of fold k is scored by the network trained on the other folds"
    )
    seeds: Annotated[int, Field(gt=0, le=1000)] = Field(2, description="number of repetitions of every training")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: trained on the GPU if there is one")


class Range(Section):
    """Numbers from which an option of a training is chosen."""

    low: Number
    high: Number
    log: bool = Field(False, description="whether all orders of magnitude are tried equally often")


def _kind_of_choice(value: Any) -> str:
    return CHOICES[isinstance(value, list | tuple)]


CHOICES = ("a range", "values")
Choice = Annotated[
    Annotated[Range, Tag(CHOICES[0])] | Annotated[tuple[bool | int | float | str, ...], Tag(CHOICES[1])],
    Discriminator(_kind_of_choice),
]


class Tuning(Section):
    """Trials that choose options of one training, for every network (fold) on its own validation events."""

    options: dict[Name, Choice] = Field(
        min_length=1, description="options of the training, each with a range or a list of values to try"
    )
    trials: Count = Field(20, description="trainings per network")
    events_seen: Count | None = Field(None, description="budget of a trial; default: that of the training")


class Pruning(Section):
    """Drop effects that are too small to matter, and say which."""

    rate: Annotated[float, Field(ge=0)] = Field(0.0, description="drop the rate part below this relative size")
    shape: Annotated[float, Field(ge=0)] = Field(0.0, description="drop the shape part if no bin changes by more")


Symmetry = Literal["two_sided", "one_sided"]
Smoother = Literal["353qh", "kernel"]


def _listed(kind: str, choices: Any) -> Any:
    """Return what takes a list of names as all of one *kind*; what is no list of texts stays, to be refused."""

    def mapped(value: Any) -> Any:
        listed = isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
        return dict.fromkeys(value, kind) if listed else value

    return BeforeValidator(mapped, json_schema_input_type=dict[Name, choices] | tuple[Name, ...])


class Templates(Section):
    """Binning and post-processing of the templates."""

    binning: Binning = Field(default_factory=Binning)
    symmetrise: Annotated[dict[Name, Symmetry], _listed("two_sided", Symmetry)] = Field(
        {}, description="variations made symmetric: half of up minus down, or up mirrored; a list: two_sided"
    )
    smooth: Annotated[dict[Name, Smoother], _listed("353qh", Smoother)] = Field(
        {}, description="variations whose ratio to nominal is smoothed, and how; a list: 353qh"
    )
    prune: Pruning = Field(default_factory=Pruning)


class Fit(Section):
    """The parameter of interest and the data to fit."""

    poi: Name = Field("mu", description="name of the signal strength")
    bounds: tuple[Number, Number] = Field((-5.0, 10.0), description="range of the signal strength")
    unblind: bool = Field(False, description="fit the collision data too; otherwise Asimov data only")
    mc_statistics: bool = Field(True, description="MC statistical uncertainty of every bin (staterror)")
    goodness_toys: Annotated[int, Field(ge=0)] = Field(
        1000, description="pseudo-experiments for the goodness of fit of observed data; 0 for none"
    )


class Dask(Section):
    """How events are processed in parallel inside one job."""

    scheduler: Literal["synchronous", "threads", "processes", "distributed"] = "threads"
    workers: Count = Field(1, description="threads or processes of one job (Snakemake runs jobs side by side too)")
    chunk_size: Count = Field(100_000, description="events per task")
    address: str | None = Field(None, description="address of a running scheduler (distributed)")
    cluster: Literal["local", "slurm", "htcondor"] = Field("local", description="where distributed starts its workers")
    memory: str | int | None = Field(None, description="memory of one worker (distributed), such as 2GB")
    walltime: str | int | None = Field(None, description="time of one job of SLURM, such as '02:00:00' (in quotes)")
    options: dict[str, JsonValue] = Field({}, description="further arguments of dask-jobqueue: queue, account, …")

    @property
    def cores(self) -> int:
        """The cores that the job itself takes: workers of a cluster run elsewhere."""
        return 1 if self.address or self.cluster != "local" else self.workers


class Plots(Section):
    """Words and numbers for figures; changing them only redraws."""

    title: str = "Nuisflow"
    luminosity: Positive | None = Field(None, description="integrated luminosity in 1/fb, shown in figures")
    energy: Positive | None = Field(None, description="centre-of-mass energy in TeV, shown in figures")
    features: dict[Column, str] = Field(
        {},
        description="words for features, with their units; default: their names; those of other columns are not used",
    )


class Configuration(Section):
    """The whole of config.yaml."""

    analysis: Name = Field(description="results appear in results/<analysis>")
    seed: Annotated[int, Field(ge=0)] = Field(1, description="every random number follows from it")
    dataset: Dataset
    processes: dict[Name, Process] = Field(min_length=2, description="in stacking order; exactly one signal")
    samples: dict[Name, Sample] = Field(min_length=2)
    derived: dict[Column, Expression] = Field({}, description="new columns, recomputed after every shift, in order")
    selection: Expression | None = Field(None, description="events kept, decided after every shift")
    regions: dict[Name, Region] = Field(min_length=1, description="exclusive selections")
    features: tuple[Column, ...] = Field(min_length=1, description="inputs of the classifiers")
    variations: dict[Name, Variation] = Field({}, description="the systematic uncertainties")
    correlations: tuple[Correlated, ...] = Field(
        (), description="of the constraints of nuisance parameters; those not named are independent"
    )
    learning: Learning = Field(default_factory=Learning)
    trainings: dict[Name, strategies.AnyStrategy] = Field(min_length=1, description="the classifiers to compare")
    tune: dict[Name, Tuning] = Field({}, description="trainings whose options are chosen by trials")
    templates: Templates = Field(default_factory=Templates)
    fit: Fit = Field(default_factory=Fit)
    toys: Toys = Field(default_factory=Toys)
    review: Review = Field(default_factory=Review)
    scenarios: dict[Name, Scenario] = Field({}, description="named sets of nuisance parameters, for expected results")
    published: Published | None = Field(None, description="published values to compare the scenarios with")
    studies: Studies = Field(default_factory=Studies)
    dask: Dask = Field(default_factory=Dask)
    plots: Plots = Field(default_factory=Plots)

    @property
    def signal(self) -> str:
        """The name of the signal process."""
        return next(name for name, process in self.processes.items() if process.role == "signal")

    @property
    def alternatives(self) -> dict[str, tuple[str, str]]:
        """The samples that stand for others at one side of a two-point variation: its name, and the side."""
        return {
            sample: (name, side)
            for name, variation in self.variations.items()
            if isinstance(variation, TwoPoint | Weight)
            for side in variation.sides
            for sample in getattr(variation, side)
        }

    @property
    def nominal(self) -> list[str]:
        """The samples of which nominal templates, or collision data, are made."""
        others = self.alternatives
        return [name for name in self.samples if name not in others]

    @property
    def simulated(self) -> list[str]:
        """The samples that are neither collision data nor alternatives."""
        return [name for name in self.nominal if self.samples[name].process != "data"]

    @property
    def trained_samples(self) -> list[str]:
        """The samples on which classifiers are trained."""
        return [name for name in self.simulated if self.samples[name].train]

    @property
    def has_data(self) -> bool:
        """Whether there are collision data."""
        return len(self.simulated) < len(self.nominal)
