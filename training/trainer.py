"""The edge to torch, transformers, peft and TRL: trains an adapter and puts it on the shelf.

TRL's `SFTTrainer` drives the run (optimiser, schedule, checkpoints, resuming). Two things are
its own here: the examples of a step are computed as prefix trees, and logits are computed only
where a token is learned.
"""

import errno
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset as Table
from peft import LoraConfig, PeftModel
from torch.nn.functional import cross_entropy
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from assistant.engines.adapter_files import check_adapter, weights_hash
from assistant.engines.source import ModelSource, locate_model
from assistant.engines.transformers_loading import Loaded, load
from assistant.manifest import CONFIG, MANIFEST, AdapterInfo, Manifest
from assistant.prompts import QUOTING_VERSION, profile_of
from assistant.shelf import Shelf
from core.database import now
from core.errors import EngineError, InhouseError, WorkspaceError
from core.home import Home
from core.progress import Progress
from core.workspace import remove_folder, write_atomically
from retrieval.service import Retrieval
from training.checkpoint_files import checkpoint_folder, keep_newest, newest_whole, seal
from training.config import TrainingConfig
from training.dataset import Dataset
from training.installing import built_folder
from training.plan_files import read_plan, write_plan
from training.prefix_tree import build_tree
from training.preparation import passages_for, prepare, restricted_warnings
from training.recorder import Recorder
from training.runs import Run, Runs, free_bytes
from training.schedule import Pass, Plan, Step
from training.tokenizer import ChatTokenizer

_UNREAD = "training_args.bin"
"""A pickle that the trainer writes into checkpoints and never reads."""
_LOW_DISK = 64 << 20


def train(
    home: Home,
    retrieval: Retrieval | None,
    run_id: int,
    config: TrainingConfig,
    dataset: Dataset,
    progress: Progress,
) -> Manifest:
    """Build the adapter of a run, or go on from its last whole checkpoint; return its manifest.

    Without `retrieval`, or with no document open to everybody, the run is closed-book.

    Raises:
        Stopped: somebody asked to stop; a checkpoint is kept.
        InvalidInput: training diverged; the last sound checkpoint is kept.
        InhouseError: the model, the data or the disk do not serve; with the remedy.
    """
    runs = Runs(home)
    run = runs.get(run_id)
    source = locate_model(home.settings, home.workspace)
    basis = basis_of(home, run)
    plan = planned(home, retrieval, run, source, dataset, progress)
    folder = runs.folder(run_id) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    settings = home.settings
    if config.method == "qlora":
        settings = settings.model_copy(update={"quantization": "4bit"})
    recorder = Recorder(runs, run_id, config, plan, progress)
    try:
        if basis is not None:
            check_adapter(basis.ref, source)
        loaded = load(source, settings, training=True)
        trainer = _trainer(loaded, config, plan, folder, basis)
        checkpoint = newest_whole(folder, progress.log)
        trainer.add_callback(_Listener(recorder, trainer, checkpoint))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        recorder.raise_if_stopped()
        return _build(home, run, source, trainer, recorder.metrics())
    except (OSError, RuntimeError) as error:
        explained = _explained(error, folder)
        if explained is None:
            raise
        raise explained from error


def basis_of(home: Home, run: Run) -> AdapterInfo | None:
    """Return the adapter that a run goes on from.

    Raises:
        NotFound: it is no longer on the shelf.
    """
    name = run.options.from_adapter
    return None if name is None else Shelf(home).get(name)


def planned(
    home: Home,
    retrieval: Retrieval | None,
    run: Run,
    source: ModelSource,
    dataset: Dataset,
    progress: Progress,
) -> Plan:
    """Return the run's steps: made once, so that documents may change before it is resumed."""
    folder = Runs(home).folder(run.id)
    stored = folder / "plan.json"
    if stored.exists():
        found = read_plan(stored)
        if found is not None:
            return found
        progress.log(
            "The stored plan of this run is damaged: it is made anew, from the first step."
        )
        remove_folder(folder / "checkpoints")
    tokenizer = ChatTokenizer(source)
    for warning in restricted_warnings(dataset, retrieval):
        progress.log(warning)
    library = passages_for(home, retrieval, run.config, tokenizer, basis_of(home, run))
    made = prepare(dataset, run.config, library, tokenizer, progress, profile_of(home.settings))
    write_plan(stored, made)
    return made


class TreeTrainer(SFTTrainer):  # type: ignore[misc]
    """An `SFTTrainer` whose batch is one step: a list of prefix trees."""

    last_loss = 0.0
    """Mean over the learned tokens of the last step, in nats."""

    @property
    def guess(self) -> float:
        """The loss of taking all tokens for equally likely."""
        return math.log(self.model.config.get_text_config().vocab_size)

    def learned_weights_are_numbers(self) -> bool:
        """Tell whether no learned weight is infinite or no number."""
        learned = (one for one in self.model.parameters() if one.requires_grad)
        return all(bool(torch.isfinite(one).all()) for one in learned)

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Sum the gradients of all passes; each learned token of the step weighs the same."""
        model.train()
        trees = inputs["trees"]
        learned = sum(tree["targets"].numel() for tree in trees)
        total = torch.zeros((), device=self.args.device)
        for tree in trees:
            loss = self.tree_loss(model, tree) / learned
            self.accelerator.backward(loss)
            total += loss.detach()
        self.last_loss = float(total)
        return total

    def tree_loss(self, model: Any, tree: dict[str, torch.Tensor]) -> torch.Tensor:
        """Sum of the cross-entropy over a tree's targets."""
        tree = self._prepare_inputs(tree)
        sources, place = torch.unique(tree["sources"], return_inverse=True)
        logits = model(
            input_ids=tree["ids"],
            position_ids=tree["positions"],
            attention_mask=tree["visible"],
            logits_to_keep=sources,
            use_cache=False,
        ).logits[0]
        return cross_entropy(logits.float()[place], tree["targets"], reduction="sum")

    def mean_loss(self, passes: Sequence[Pass]) -> float | None:
        """Cross-entropy per learned token of examples that are not trained on."""
        if not passes:
            return None
        total, learned = 0.0, 0
        # Not `eval()`: a forward pass in that state makes bitsandbytes repack 4-bit layers on the
        # CPU for good, and no gradient passes through repacked layers. Only dropout must rest.
        self.model.train()
        resting = [
            module for module in self.model.modules() if isinstance(module, torch.nn.Dropout)
        ]
        for module in resting:
            module.eval()
        with torch.no_grad():
            for examples in passes:
                tree = tensors(examples)
                total += float(self.tree_loss(self.model_wrapped, tree))
                learned += tree["targets"].numel()
        for module in resting:
            module.train()
        return total / learned

    def create_model_card(self, *_arguments: Any, **_named: Any) -> None:
        """Write none: a checkpoint is not for publication."""


class _Listener(TrainerCallback):  # type: ignore[misc]
    """Tells the recorder what the trainer does, and the trainer when to end."""

    def __init__(self, recorder: Recorder, trainer: TreeTrainer, checkpoint: Path | None) -> None:
        self._recorder = recorder
        self._trainer = trainer
        self._checkpoint = checkpoint
        self._rate = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self._recorder.begin(self._trainer, self._checkpoint)

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self._rate = float(given["lr_scheduler"].get_last_lr()[0])

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> Any:
        if self._recorder.step_done(self._trainer, state.global_step, self._rate):
            control.should_save = self._recorder.stopped
            control.should_training_stop = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        parent = Path(args.output_dir)
        folder = checkpoint_folder(parent, state.global_step)
        trainer = self._trainer
        if not (self._recorder.sound(trainer) and trainer.learned_weights_are_numbers()):
            remove_folder(folder)
            return
        (folder / _UNREAD).unlink(missing_ok=True)
        seal(folder)
        keep_newest(parent)


def tensors(examples: Pass) -> dict[str, torch.Tensor]:
    """A pass as a batch of one sequence, with its (1, 1, N, N) attention mask."""
    tree = build_tree(examples)
    return {
        "ids": torch.from_numpy(tree.ids)[None],
        "positions": torch.from_numpy(tree.positions)[None],
        "visible": torch.from_numpy(tree.visible)[None, None],
        "sources": torch.from_numpy(tree.sources),
        "targets": torch.from_numpy(tree.targets),
    }


def _trainer(
    loaded: Loaded, config: TrainingConfig, plan: Plan, folder: Path, basis: AdapterInfo | None
) -> TreeTrainer:
    steps: Sequence[Step] = plan.steps

    def collate(rows: list[dict[str, int]]) -> dict[str, Any]:
        return {"trees": [tensors(examples) for examples in steps[rows[0]["step"]]]}

    arguments = _arguments(loaded, config, len(steps), folder)
    model, fresh = loaded.model, None
    if basis is None:
        fresh = _lora(config)
    else:
        model = PeftModel.from_pretrained(model, str(basis.ref.path), is_trainable=True)
    trainer = TreeTrainer(
        model=model,
        args=arguments,
        data_collator=collate,
        train_dataset=Table.from_dict({"step": list(range(len(steps)))}),
        processing_class=loaded.tokenizer,
        peft_config=fresh,
    )
    # It prints, and what a command prints is its report.
    trainer.remove_callback(PrinterCallback)
    return trainer


def _lora(config: TrainingConfig) -> LoraConfig:
    modules: Any = config.target_modules
    if modules != "all-linear":
        modules = [name.strip() for name in config.target_modules.split(",")]
    return LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        use_rslora=config.rank_stabilised,
        target_modules=modules,
        task_type="CAUSAL_LM",
    )


def _arguments(loaded: Loaded, config: TrainingConfig, steps: int, folder: Path) -> SFTConfig:
    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=round(config.warmup_share * steps),
        weight_decay=config.weight_decay,
        max_grad_norm=config.gradient_clipping,
        gradient_checkpointing=config.gradient_checkpointing,
        seed=config.seed,
        data_seed=config.seed,
        train_sampling_strategy="sequential",
        use_cpu=loaded.device.type == "cpu",
        bf16=loaded.dtype is torch.bfloat16,
        fp16=loaded.dtype is torch.float16,
        save_strategy="steps",
        save_steps=config.checkpoint_every,
        # Not `save_total_limit`: that deletes an older one before the new one is whole.
        logging_strategy="no",
        report_to="none",
        push_to_hub=False,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
    )


def _build(
    home: Home, run: Run, source: ModelSource, trained: TreeTrainer, metrics: dict[str, Any]
) -> Manifest:
    """Write the adapter into the run's folder, its manifest last."""
    basis = basis_of(home, run)
    reads_quotations = basis is not None and basis.reads_quotations
    built = built_folder(home, run)
    remove_folder(built)
    for parameter in trained.model.parameters():
        # Half the size. What the rounding costs in answers has not been measured.
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.bfloat16)
    trained.model.save_pretrained(str(built), save_embedding_layers=False)
    _name_base(built / CONFIG, source.name)
    manifest = Manifest(
        name=run.name,
        base_model=source.name,
        base_model_hash=source.hash,
        weights_sha256=weights_hash(built),
        created_at=now().isoformat(timespec="seconds"),
        method=run.config.method,
        data_sha256=run.dataset_sha256,
        config={**run.config.model_dump(mode="json"), **_inherited(trained, basis)},
        metrics=metrics,
        prompt_version=QUOTING_VERSION if reads_quotations else profile_of(home.settings).version,
        notes=f"Run {run.id} on {run.dataset_name}.",
    )
    write_atomically(built / MANIFEST, manifest.to_json().encode())
    return manifest


def _inherited(trained: TreeTrainer, basis: AdapterInfo | None) -> dict[str, Any]:
    """What the adapter that a run went on from decided, whatever the run's settings say."""
    if basis is None:
        return {}
    lora = trained.model.peft_config["default"]
    # A pattern in adapters from elsewhere, else names.
    modules = lora.target_modules
    return {
        "rank": lora.r,
        "alpha": lora.lora_alpha,
        "dropout": lora.lora_dropout,
        "rank_stabilised": lora.use_rslora,
        "target_modules": modules if isinstance(modules, str) else ",".join(sorted(modules)),
        "started_from": basis.ref.hash,
    }


def _name_base(config: Path, name: str) -> None:
    """Put the model's stable name where peft wrote a path of this machine."""
    values = json.loads(config.read_text("utf-8"))
    values["base_model_name_or_path"] = name
    write_atomically(config, json.dumps(values, indent=2, sort_keys=True).encode())


def _explained(error: Exception, folder: Path) -> InhouseError | None:
    """Tell a full disk or full memory from a defect."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or free_bytes(folder) < _LOW_DISK:
        return WorkspaceError(
            f"The disk of '{folder}' is full. What was trained up to the last checkpoint is kept: "
            "free some space and resume the run."
        )
    if isinstance(error, torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(error):
        return EngineError(
            "The model and a pass do not fit into memory. Lower pass_tokens, switch on "
            "gradient_checkpointing, or choose the method qlora."
        )
    return None
