"""What other programs of the field call the values of a config: `epochs`, `lr`, `gpus`; and which key has it here."""

from __future__ import annotations

from collections.abc import Iterable

from resnet_lit.typed import nearest

SYNONYMS = {
    "trainer.max_epochs": "epochs epoch n_epochs num_epochs nb_epochs max_epoch num_train_epochs train_epochs total_epochs ep",
    "trainer.max_steps": "steps iterations iters num_steps train_steps max_iter max_iters",
    "optimizer.lr": "lr learning_rate base_lr init_lr initial_lr lr0 eta",
    "optimizer.weight_decay": "wd weight_decay l2 decay_rate",
    "optimizer.momentum": "momentum mom",
    "optimizer.nesterov": "nesterov",
    "optimizer.groups": "param_groups parameter_groups groups",
    "optimizer=muon": "muon",
    "optimizer": "opt optim optimiser",
    "scheduler": "sched lr_scheduler lr_schedule schedule lr_policy",
    "scheduler.warmup_epochs": "warmup warmup_epochs",
    "data": "dataset data_set datasets",
    "data.root": "root data_dir datadir data_path dataroot data_root dataset_path train_dir imagefolder",
    "data.batch_size": "batch bs batch_size batchsize b train_batch_size per_device_train_batch_size",
    "data.image_size": "img_size imgsz image_size img input_size",
    "data.resolution": "resolution resolutions progressive_resizing train_size train_res",
    "data.validation": "val_size val_split validation_split valid_size val_fraction validation_size val",
    "data.drop_last": "drop_last",
    "model": "arch net network architecture backbone",
    "model.dropout": "dropout drop_rate dropout_rate drop p_dropout",
    "model.width": "width width_mult width_multiplier widen_factor",
    "model.num_classes": "num_classes nclasses n_classes classes nc",
    "model.activation": "activation act act_fn act_layer nonlinearity",
    "model.squeeze_excitation": "se se_ratio se_reduction",
    "model.stem_init=whitened": "whiten whitening whitened",
    "model.stem_frozen": "freeze frozen freeze_stem",
    "model.norm_momentum": "bn_momentum",
    "model.norm_eps": "bn_eps",
    "model.blocks": "layers depth num_blocks n_blocks",
    "augment": "aug augmentation augmentations transform transforms",
    "augment.cutout": "cutout cutout_size cutout_length",
    "augment.padding_mode=reflect": "reflect reflection",
    "evaluation.tta": "tta test_time_augmentation test_augment",
    "label_smoothing": "smoothing label_smooth ls",
    "trainer.devices": "gpus gpu devices n_gpus num_gpus ngpu ngpus gpu_ids num_devices world_size nproc",
    "trainer.accelerator": "device accelerator cuda use_cuda use_gpu cpu mps",
    "trainer.num_nodes": "nodes num_nodes nnodes",
    "trainer.precision": "precision amp fp16 bf16 half mixed_precision use_amp dtype",
    "trainer.gradient_clip_val": "clip grad_clip clip_grad max_grad_norm max_norm gradient_clip clip_norm",
    "trainer.accumulate_grad_batches": "accumulate accum grad_accum accum_iter gradient_accumulation_steps accumulation_steps",
    "trainer.log_every_n_steps": "log_interval print_freq log_every log_freq logging_steps",
    "threads": "num_threads n_threads nthreads cpus",
    "seed": "random_seed manual_seed random_state rng_seed",
    "sweep.seeds": "seeds num_seeds n_seeds repeats",
    "weights": "pretrained checkpoint_path ckpt load_from init_from pretrained_path model_path load",
    "resume": "run run_dir run_folder resume_from resume_from_checkpoint ckpt_path continue restore",
    "hydra.run.dir": "output output_dir outdir out_dir out save_dir logdir log_dir work_dir exp_dir result_dir results_dir",
    "+experiment": "exp config cfg recipe",
    "averaging=ema": "ema ema_decay model_ema weight_averaging",
    "averaging=lookahead": "lookahead",
    "callbacks=early_stopping": "patience early_stopping early_stop",
}
# Words for what is not here, and why.
ABSENT = dict.fromkeys(
    (
        "workers",
        "num_workers",
        "nworkers",
        "n_workers",
        "dataloader_num_workers",
        "pin_memory",
        "persistent_workers",
        "prefetch_factor",
    ),
    "there are no data workers: the images are decoded once and each batch is one tensor operation; leave it out "
    "(threads=… sets the CPU threads)",
)
_KEY_OF = {word: key for key, words in SYNONYMS.items() for word in words.split()}


def hint(key: str, names: Iterable[str]) -> str:
    """What to say behind an unknown key: `: did you mean trainer.max_epochs?`, why there is no such value, or nothing.

    names: every key and group that there is.
    """
    names = list(names)
    word = key.lower().replace("-", "_")
    group, _, tail = word.rpartition(".")
    if tail in ABSENT:
        return f": {ABSENT[tail]}"
    meant = _KEY_OF.get(word)
    if meant is None and group and (inside := _KEY_OF.get(tail, "")).startswith(f"{group}."):
        meant = inside
    if meant is None:  # a typing error within its group comes before a synonym in another
        same = nearest(key, [name for name in names if name.rpartition(".")[0] == key.rpartition(".")[0]])
        meant = None if same else _KEY_OF.get(tail)
    return f": did you mean {meant}?" if meant not in (None, key) else nearest(key, names)
