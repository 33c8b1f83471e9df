"""What belongs to resnet_lit among the arguments of Lightning's Trainer, and what to use instead."""

from __future__ import annotations

OWNED = {
    "logger": "use logger=tensorboard or logger=none",
    "callbacks": "use callbacks=… or +callbacks.<name>._target_=…",
    "default_root_dir": "use hydra.run.dir=<folder>",
    "enable_checkpointing": "use checkpoint.keep=none",
    "enable_progress_bar": "use progress=none",
    "deterministic": "use deterministic=true",
    "num_sanity_val_steps": "validation data are checked before training starts: leave it out",
    "use_distributed_sampler": "the batches are divided among devices by resnet_lit: leave it out",
    "reload_dataloaders_every_n_epochs": "order and augmentation depend on the epoch already: leave it out",
    "limit_predict_batches": "python -m resnet_lit.train does not predict: leave it out",
    "barebones": "it would leave no record: leave it out",
    "plugins": "it takes Python objects: pass a Trainer of your own from Python",
    "enable_autolog_hparams": "hyperparameters are logged by resnet_lit: leave it out",
    "model_registry": "models are not uploaded: leave it out",
}
